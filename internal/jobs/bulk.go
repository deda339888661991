package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// A BulkAction is what a bulk operation does to each of its jobs.
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
	MaxBulkIDs      = 10_000  // ids that are given
	MaxBulkJobs     = 100_000 // jobs that a search may select
	MaxBulkRefusals = 100     // that are listed one by one
	MaxTags         = 20      // of a job
)

// Sentences for those who ask for what is impossible, of one job and of many.
const (
	NotFoundSentence  = "There is no such thing here, or it belongs to someone else."
	ForbiddenSentence = "Your role does not allow this."
)

// Conflict says why the action is impossible in a job's present state.
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

// Refusal is the sentence for a job to which the action was not done because of
// err; empty for an error that says nothing of the job.
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
	Tags   []string   `json:"tags,omitempty" doc:"That are added or removed."`
	Search *string    `json:"search,omitempty" doc:"What selected the jobs, as given; absent where ids were."`
	State  string     `json:"state" enum:"running,done"`

	Total    int64         `json:"total" doc:"Jobs that were selected; done and refused reach it."`
	Done     int64         `json:"done" doc:"Jobs to which it was done, or whose state was so already."`
	Refused  int64         `json:"refused"`
	Reasons  []BulkReason  `json:"reasons" nullable:"false" doc:"Why jobs were refused, and how many for each reason."`
	Refusals []BulkRefusal `json:"refusals" nullable:"false" doc:"The first 100 jobs that were refused."`
	More     int64         `json:"more_refusals" doc:"Refused jobs that refusals leaves out."`

	CreatedAt  Time  `json:"created_at" format:"date-time"`
	FinishedAt *Time `json:"finished_at" format:"date-time" nullable:"true"`
}

// A BulkRefusal is a job to which the action was not done.
type BulkRefusal struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// A BulkReason is a reason of refusals.
type BulkReason struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Refuse counts a job as refused.
func (b *Bulk) Refuse(id, reason string) {
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

// WrongTags lists what is wrong with tags.
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
