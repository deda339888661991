package jobs

// A TaskStream is what ran where and when: the chunks of one job, or of all
// that someone may see, as rectangles on rows. Chunks of one job in one state
// that begin within the same stretch of ResolutionMS on the same row are one
// rectangle.
type TaskStream struct {
	Base         Time    `json:"base" format:"date-time" doc:"All times below are milliseconds after it."`
	FromMS       float64 `json:"from_ms" doc:"The window: it has every chunk that was in hand within it."`
	ToMS         float64 `json:"to_ms"`
	NowMS        float64 `json:"now_ms" doc:"The database's clock when it answered."`
	ResolutionMS float64 `json:"resolution_ms" doc:"Chunks that begin within the same stretch of so many milliseconds may be merged: a power of two of microseconds, the stretches counted from 1970."`
	SinceMS      float64 `json:"since_ms" doc:"Only rectangles that begin here or later, and those of leased chunks, are given; the window's beginning or earlier unless since was asked for."`
	NextSinceMS  float64 `json:"next_since_ms" doc:"What began before it will not change any more. For what is new: ask with since at this time, and drop what begins at the answer's since_ms or later and what is leased."`
	FirstMS      float64 `json:"first_ms" doc:"When the job's first chunk was leased, retries of the job included; of all jobs, the window's beginning."`

	OneIn       float64     `json:"one_in" doc:"1: every chunk was looked at. More: there are so many that about one in so many was, and counts are theirs alone; a shorter window tells all."`
	RowsLeftOut int         `json:"rows_left_out" doc:"Rows beyond the first 1000, with all that is on them."`
	Rows        []StreamRow `json:"rows" nullable:"false"`
	Jobs        []StreamJob `json:"jobs" nullable:"false"`
	Rects       StreamRects `json:"rects"`
}

// A StreamRow is one core or slot.
type StreamRow struct {
	Host  string `json:"host" doc:"Of the node."`
	Core  *int   `json:"core" doc:"The operating system's number of it; null where processes are not pinned."`
	Slot  *int   `json:"slot" doc:"The job's lane where processes are not pinned; in a stream of all jobs a number that tells apart what ran at once."`
	Label string `json:"label"`
}

// A StreamJob is a job that has rectangles.
type StreamJob struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
}

// StreamRects are rectangles by columns: the i-th elements of all slices belong
// to the i-th rectangle. They are ordered by row, then by their beginning.
type StreamRects struct {
	Row    []int     `json:"row" nullable:"false" doc:"Index into rows."`
	Start  []float64 `json:"start_ms" nullable:"false" doc:"When the first of its chunks began."`
	End    []float64 `json:"end_ms" nullable:"false" doc:"When the last of them ended; now for those in hand."`
	Busy   []float64 `json:"busy_ms" nullable:"false" doc:"How long its chunks ran, added up: less than end_ms - start_ms where there were pauses, more where they ran at once."`
	Job    []int     `json:"job" nullable:"false" doc:"Index into jobs."`
	First  []int64   `json:"first" nullable:"false" doc:"Lowest index of a task."`
	Last   []int64   `json:"last" nullable:"false" doc:"Highest index of a task; not all between need be its."`
	Count  []int64   `json:"count" nullable:"false" doc:"Tasks of its chunks that have an outcome, or are in hand or were lost with it."`
	Chunks []int64   `json:"chunks" nullable:"false"`
	Failed []int64   `json:"failed" nullable:"false" doc:"Tasks that failed for good."`
	State  []int     `json:"state" nullable:"false" doc:"0: in hand; 1: done; 2: lost with its node, so that its tasks were claimed again."`
}

// The states of chunks in StreamRects.
const (
	StreamLeased = 0
	StreamDone   = 1
	StreamLost   = 2
)
