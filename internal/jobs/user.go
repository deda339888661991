package jobs

// A Role is what a user may do.
type Role string

// The roles, each with the rights to act of those before it. Who acts sees only
// what is theirs; a viewer looks at everything and changes nothing.
const (
	Viewer    Role = "viewer" // sees all jobs
	Submitter Role = "user"   // submits jobs, sees and controls their own
	Admin     Role = "admin"  // sees and controls everything
)

var ranks = map[Role]int{Viewer: 1, Submitter: 2, Admin: 3}

// Allows reports whether r has the rights to act of need.
func (r Role) Allows(need Role) bool { return ranks[r] >= ranks[need] && ranks[r] > 0 }

// SeesAll reports whether r sees what belongs to others.
func (r Role) SeesAll() bool { return r == Viewer || r == Admin }

// A User is someone who signs in or whose scripts do.
type User struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
	Role Role   `json:"role" enum:"viewer,user,admin"`
}
