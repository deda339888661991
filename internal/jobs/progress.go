package jobs

// A TaskProgress is how far a running task says it is.
type TaskProgress struct {
	Job      string   `json:"job" format:"uuid"`
	Task     int64    `json:"task" doc:"Its index."`
	Fraction *float64 `json:"fraction" minimum:"0" maximum:"1" nullable:"true" doc:"Of its work; null for unknown."`
	Message  string   `json:"message" doc:"At most 200 characters."`
	At       Time     `json:"at" format:"date-time" doc:"When it reported this."`
}

// ProgressMessage is the largest length of a TaskProgress's message, in characters.
const ProgressMessage = 200
