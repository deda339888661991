package views

import (
	"fmt"
	"net/url"

	"github.com/a-h/templ"

	"github.com/allcores/allcores/internal/jobs/shared"
)

// SharedShown is how many shared objects a job's page shows.
const SharedShown = 50

// JobShared holds the objects that the tasks of a job share.
type JobShared struct {
	Shared     []shared.Info // in the order of their creation, at most SharedShown
	MoreShared int           // objects that the page leaves out
}

// sharedSize describes how much an object holds.
func sharedSize(o shared.Info) string {
	switch o.Kind {
	case shared.Array:
		return plural(o.Size, "item", "items") + ", " + size(o.Bytes)
	case shared.Queue, shared.Pipe, shared.Dict, shared.List:
		text := plural(max(o.Items-1, 0), "item", "items")
		if o.Kind == shared.Queue && o.Size > 0 {
			text = fmt.Sprintf("%s of %s", thousands(max(o.Items-1, 0)), plural(o.Size, "item", "items"))
		}
		return text + ", " + size(o.Bytes)
	case shared.Value:
		return size(o.Bytes)
	case shared.Lock, shared.Event, shared.Semaphore, shared.Condition, shared.Barrier:
	}
	return ""
}

// valueShown is the length, in bytes, up to which lists of objects have their values.
const valueShown = 4 << 10

// sharedValue returns the beginning of an object's value.
func sharedValue(o shared.Info) string {
	switch {
	case o.Holder != "":
		return "held by " + o.Holder
	case o.Kind == shared.Lock || o.Kind == shared.Condition:
		return "free"
	case string(o.Value) == "null" && o.Bytes > valueShown:
		return "too long to show here"
	}
	return showValue(o.Value).line(160)
}

func sharedType(o shared.Info) string {
	if o.Type == "" {
		return string(o.Kind)
	}
	return string(o.Kind) + " (" + o.Type + ")"
}

// sharedURL returns the address of an object with its whole value.
func sharedURL(job, name string) templ.SafeURL {
	return apiURL(job, "/shared/"+url.PathEscape(name))
}
