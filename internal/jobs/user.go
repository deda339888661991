package jobs

// A Role is the set of a user's rights.
type Role string

// The roles. Each may do what the roles before it may. A viewer sees everything and
// changes nothing; a user sees only their own jobs.
const (
	Viewer    Role = "viewer" // sees all jobs
	Submitter Role = "user"   // submits jobs, sees and controls their own
	Admin     Role = "admin"  // sees and controls everything
)

var ranks = map[Role]int{Viewer: 1, Submitter: 2, Admin: 3}

// Allows reports whether r may do what need may.
func (r Role) Allows(need Role) bool { return ranks[r] >= ranks[need] && ranks[r] > 0 }

// SeesAll reports whether r sees the jobs of other users.
func (r Role) SeesAll() bool { return r == Viewer || r == Admin }

// A User is a person who signs in or whose scripts do.
type User struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
	Role Role   `json:"role" enum:"viewer,user,admin"`
}
