// Package timeline arranges the chunks of jobs as rectangles on rows: what ran
// where and when. It is pure: package store reads the chunks, in groups, and
// pages and the API show the result.
//
// A [Query] becomes a [Window] as soon as the database's time is known. Leases
// and groups of ended chunks become [Group]s; [Arrange] gives each its row and
// merges them until they are few enough to draw. [Totals] adds up the same
// chunks row by row.
package timeline

import "github.com/allcores/allcores/internal/jobs"

// A Timeline has the chunks of one job, or of all jobs that a user may see, as
// rectangles on rows. Chunks of one job in one state that begin within the same
// ResolutionMS on the same row are one rectangle.
type Timeline struct {
	Base         jobs.Time `json:"base" format:"date-time" doc:"All times below are milliseconds after it."`
	FromMS       float64   `json:"from_ms" doc:"Start of the window. The timeline has every chunk that ran or was leased within the window."`
	ToMS         float64   `json:"to_ms" doc:"End of the window."`
	NowMS        float64   `json:"now_ms" doc:"The database's clock when it answered."`
	ResolutionMS float64   `json:"resolution_ms" doc:"Chunks that begin within the same interval of this length may be merged. It is a power of two of microseconds, and the intervals are counted from 1970."`
	SinceMS      float64   `json:"since_ms" doc:"Only rectangles that begin here or later, and those of leased chunks, are given. Without since it is the start of the window or earlier."`
	NextSinceMS  float64   `json:"next_since_ms" doc:"Rectangles that begin before it will not change any more. To update: ask with since at this time, then drop the rectangles that begin at the answer's since_ms or later and the leased ones."`
	FirstMS      float64   `json:"first_ms" doc:"When the job's first chunk was leased, in any of its runs; for all jobs, the start of the window."`

	OneIn       float64   `json:"one_in" doc:"1: every chunk was read. More: there are so many chunks that about one in this many was read, and the counts are of those. A shorter window reads all."`
	RowsLeftOut int       `json:"rows_left_out" doc:"Rows beyond the first 1000; their rectangles are left out too."`
	Rows        []Row     `json:"rows" nullable:"false"`
	Jobs        []JobName `json:"jobs" nullable:"false"`
	Rects       Rects     `json:"rects"`
}

// A Row is one core, lane or slot.
type Row struct {
	Host  string `json:"host" doc:"The node's host name."`
	Core  *int   `json:"core" doc:"The operating system's number of the core; null where processes are not pinned."`
	Slot  *int   `json:"slot" doc:"The job's lane where processes are not pinned; for all jobs, a number that separates what ran at once."`
	Label string `json:"label" doc:"For people, with the host where there are several."`
}

// A JobName names a job that has rectangles.
type JobName struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
}

// Rects are rectangles by columns: the i-th elements of all slices belong to the
// i-th rectangle. They are ordered by row, then by start.
type Rects struct {
	Row    []int     `json:"row" nullable:"false" doc:"Index into rows."`
	Start  []float64 `json:"start_ms" nullable:"false" doc:"When the first of its chunks began."`
	End    []float64 `json:"end_ms" nullable:"false" doc:"When the last of its chunks ended; now for leased chunks."`
	Busy   []float64 `json:"busy_ms" nullable:"false" doc:"Sum of its chunks' durations: less than end_ms - start_ms where there were pauses, more where chunks ran at once."`
	Job    []int     `json:"job" nullable:"false" doc:"Index into jobs."`
	First  []int64   `json:"first" nullable:"false" doc:"Lowest index of a task."`
	Last   []int64   `json:"last" nullable:"false" doc:"Highest index of a task. Tasks between may belong to other rectangles."`
	Count  []int64   `json:"count" nullable:"false" doc:"Tasks of its chunks that have an outcome, are leased, or were lost."`
	Chunks []int64   `json:"chunks" nullable:"false"`
	Failed []int64   `json:"failed" nullable:"false" doc:"Tasks that failed for good."`
	State  []int     `json:"state" nullable:"false" doc:"0: leased; 1: done; 2: lost with its node, so that its tasks were claimed again."`
}

// The states of chunks in Rects.
const (
	Leased = 0
	Done   = 1
	Lost   = 2
)

// states are the database's names of the states, by their numbers.
var states = []string{Leased: "leased", Done: "done", Lost: "lost"}

// Bounds of a Timeline.
const (
	MaxRects = 20_000
	maxRows  = 1000
)
