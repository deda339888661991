package jobs

// A Role is what a user may do.
type Role string

// The roles, each with the rights of those before it.
const (
	Viewer    Role = "viewer" // sees
	Submitter Role = "user"   // submits and controls their own jobs
	Admin     Role = "admin"  // sees and controls everything
)

var ranks = map[Role]int{Viewer: 1, Submitter: 2, Admin: 3}

// Allows reports whether r has the rights of need.
func (r Role) Allows(need Role) bool { return ranks[r] >= ranks[need] && ranks[r] > 0 }

// A User is someone who signs in or whose scripts do.
type User struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
	Role Role   `json:"role" enum:"viewer,user,admin"`
}
