package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A BulkAction is the action of a bulk operation.
type BulkAction string

// The actions of bulk operations.
const (
	BulkCancel BulkAction = "cancel"
	BulkPause  BulkAction = "pause"
	BulkResume BulkAction = "resume"
	BulkRetry  BulkAction = "retry"
	BulkDelete BulkAction = "delete"
	BulkTag    BulkAction = "tag"
	BulkUntag  BulkAction = "untag"
)

// BulkActions lists every action.
var BulkActions = []BulkAction{BulkCancel, BulkPause, BulkResume, BulkRetry, BulkDelete, BulkTag, BulkUntag}

// Bounds of bulk operations.
const (
	MaxBulkIDs      = 10_000  // ids in one request
	MaxBulkJobs     = 100_000 // jobs that one search may select
	MaxBulkRefusals = 100     // listed one by one
	MaxTags         = 20      // of a job
)

// Sentences that refuse an action, on one job or on many.
const (
	NotFoundSentence  = "There is no such thing here, or it belongs to someone else."
	ForbiddenSentence = "Your role does not allow this."
)

// Conflict returns the sentence that says why a job's state forbids the action.
func (a BulkAction) Conflict() string {
	switch a {
	case BulkCancel:
		return "The job has already ended otherwise; there is nothing to cancel."
	case BulkPause, BulkResume:
		return "The job has already ended, or is being stopped."
	case BulkRetry:
		return "The job has not ended, or every task of it succeeded."
	case BulkDelete:
		return "The job has not ended; cancel it first."
	case BulkTag:
		return fmt.Sprintf("The job would have more than %d tags.", MaxTags)
	default:
		return "That is impossible in the present state."
	}
}

// Refusal returns the sentence for a job that err kept from the action. It is
// empty for an error that does not concern the job.
func (a BulkAction) Refusal(err error) string {
	switch {
	case errors.Is(err, ErrNotFound):
		return NotFoundSentence
	case errors.Is(err, ErrForbidden):
		return ForbiddenSentence
	case errors.Is(err, ErrConflict):
		return a.Conflict()
	}
	return ""
}

// Bulk is a bulk operation: one action on many jobs, and how far it is.
type Bulk struct {
	ID     string     `json:"id" format:"uuid"`
	Action BulkAction `json:"action" enum:"cancel,pause,resume,retry,delete,tag,untag"`
	Tags   []string   `json:"tags,omitempty" doc:"Tags to add or remove."`
	Search *string    `json:"search,omitempty" doc:"The search that selected the jobs, as given; absent where ids selected them."`
	State  string     `json:"state" enum:"running,done"`

	Total int64 `json:"total" doc:"Selected jobs; at the end, done + refused."`
	Done  int64 `json:"done" doc:"Jobs that the action changed, or that needed no change."`
	BulkRefusals

	CreatedAt  Time  `json:"created_at" format:"date-time"`
	FinishedAt *Time `json:"finished_at" format:"date-time" nullable:"true"`
}

// BulkRefusals are the refused jobs of a bulk operation.
type BulkRefusals struct {
	Refused  int64         `json:"refused"`
	Reasons  []BulkReason  `json:"reasons" nullable:"false" doc:"Reasons of refusals, with the number of jobs for each."`
	Refusals []BulkRefusal `json:"refusals" nullable:"false" doc:"The first 100 refused jobs."`
	More     int64         `json:"more_refusals" doc:"Refused jobs beyond those in refusals."`
}

// A BulkRefusal is a job that was refused, and why.
type BulkRefusal struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// A BulkReason counts the refusals for one reason.
type BulkReason struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Refuse counts a job as refused.
func (b *BulkRefusals) Refuse(id, reason string) {
	b.Refused++
	at := slices.IndexFunc(b.Reasons, func(r BulkReason) bool { return r.Reason == reason })
	if at < 0 {
		at = len(b.Reasons)
		b.Reasons = append(b.Reasons, BulkReason{Reason: reason})
	}
	b.Reasons[at].Count++
	if len(b.Refusals) < MaxBulkRefusals {
		b.Refusals = append(b.Refusals, BulkRefusal{id, reason})
	} else {
		b.More++
	}
}

// WrongTags returns the violations of tags.
func WrongTags(location string, tags []string) Invalid {
	var c checker
	c.tags(location, tags)
	return c.found
}

func (c *checker) tags(location string, tags []string) {
	if len(tags) > MaxTags {
		c.add(location, fmt.Sprintf("at most %d tags", MaxTags), len(tags))
	}
	for i, tag := range tags[:min(len(tags), MaxTags)] {
		at := fmt.Sprintf("%s[%d]", location, i)
		if strings.TrimSpace(tag) == "" {
			c.add(at, "must not be empty", tag)
		}
		if strings.ContainsFunc(tag, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }) {
			c.add(at, "must not contain spaces or commas", tag)
		}
		c.text(at, tag, maxTagRunes)
	}
}
