package jobs

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Policy sets how a job's tasks run. A nil field stands for its default, which
// [Policy.WithDefaults] fills in.
type Policy struct {
	Processes       *int `json:"processes" minimum:"1" maximum:"4096" doc:"Lanes: most worker processes at once over all nodes; default: the slots of the queue."`
	Threads         *int `json:"threads" minimum:"1" maximum:"256" doc:"Tasks at once in each process; default 1."`
	CoresPerProcess *int `json:"cores_per_process" minimum:"1" maximum:"1024" doc:"Core slots that each process takes; default 1."`

	MaxTasksPerProcess *int `json:"max_tasks_per_process" minimum:"1" maximum:"1000000" doc:"Tasks that a Python process starts before another one replaces it; null for any number. It has no effect on commands: each has a process of its own."`

	ChunkSize *int `json:"chunk_size" minimum:"1" maximum:"1000000" doc:"Tasks per chunk; null: chosen from measured task times."`

	Timeout     *Duration `json:"timeout" doc:"Most time of one task, such as 30s; null for none. A module may take as long to load, but at least 5 seconds; without a timeout, 5 minutes."`
	MemoryLimit *Size     `json:"memory_limit" doc:"Most memory of one process, such as 512MiB; null for none."`

	MaxAttempts  *int      `json:"max_attempts" minimum:"1" maximum:"100" doc:"Attempts of a task before it has failed, and of each process to load a module; default 1."`
	RetryBackoff *Duration `json:"retry_backoff" doc:"Wait before the second attempt; it doubles with each further one; default 1s."`

	MaxFailures *FailureLimit `json:"max_failures" doc:"Failed tasks (a count, or a share of all inputs such as 5%, which for an open job counts once it is sealed) past which no further task starts and the job ends as failed; null for no limit."`
}

// Bounds of the durations and sizes of a policy.
const (
	MinTimeout     = 10 * time.Millisecond
	MaxTimeout     = 30 * 24 * time.Hour
	MaxBackoff     = time.Hour
	MinMemoryLimit = 16 << 20
	MaxMemoryLimit = 1 << 50
)

// WithDefaults returns p with its defaults. Processes stays nil: it follows the
// slots that the job's queue has over all nodes.
func (p Policy) WithDefaults() Policy {
	fill := func(field **int, value int) {
		if *field == nil {
			*field = &value
		}
	}
	fill(&p.Threads, 1)
	fill(&p.CoresPerProcess, 1)
	fill(&p.MaxAttempts, 1)
	if p.RetryBackoff == nil {
		second := Duration("1s")
		p.RetryBackoff = &second
	}
	return p
}

// WithoutDefaults returns p without values that equal the defaults, for a policy
// whose submitted form is unknown.
func (p Policy) WithoutDefaults() Policy {
	for _, field := range []**int{&p.Threads, &p.CoresPerProcess, &p.MaxAttempts} {
		if *field != nil && **field == 1 {
			*field = nil
		}
	}
	if p.RetryBackoff != nil && *p.RetryBackoff == "1s" {
		p.RetryBackoff = nil
	}
	return p
}

// FailuresAllowed returns how many tasks of total may fail before the job stops:
// math.MaxInt64 for no limit. A share refers to all inputs, so it limits a job only
// once it is sealed.
func (p Policy) FailuresAllowed(total int64, sealed bool) int64 {
	if p.MaxFailures == nil || !sealed && p.MaxFailures.IsShare() {
		return math.MaxInt64
	}
	n, err := p.MaxFailures.Of(total)
	if err != nil {
		return math.MaxInt64
	}
	return n
}

// A Duration is a length of time as users write it: "250ms", "30s", "1h30m".
type Duration string

// Parse parses d with time.ParseDuration.
func (d Duration) Parse() (time.Duration, error) {
	v, err := time.ParseDuration(string(d))
	if err != nil {
		return 0, fmt.Errorf("not a duration such as 250ms, 30s or 1h30m")
	}
	return v, nil
}

// Value returns d, or 0 when d is nil or malformed. A validated policy has no
// malformed one.
func (d *Duration) Value() time.Duration {
	if d == nil {
		return 0
	}
	v, _ := d.Parse()
	return v
}

// A Size is a number of bytes as users write it: "512MiB", "2GB", "1048576".
type Size string

var (
	sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B?|B)?$`)
	sizeUnits   = map[string]float64{
		"": 1, "B": 1,
		"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
		"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	}
)

// Bytes parses s. KB, MB, … are powers of 1000; KiB, MiB, … and the bare
// letters are powers of 1024.
func (s Size) Bytes() (int64, error) {
	m := sizePattern.FindStringSubmatch(string(s))
	if m == nil {
		return 0, fmt.Errorf("not a size such as 512MiB or 2GB")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil || n*sizeUnits[m[2]] > MaxMemoryLimit {
		return 0, fmt.Errorf("larger than 1024TiB")
	}
	return int64(n * sizeUnits[m[2]]), nil
}

// SizeOf returns n bytes in the largest unit that divides them.
func SizeOf(n int64) Size {
	for _, unit := range []string{"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"} {
		if size := int64(sizeUnits[unit]); n >= size && n%size == 0 {
			return Size(strconv.FormatInt(n/size, 10) + unit)
		}
	}
	return Size(strconv.FormatInt(n, 10) + "B")
}

// Value returns s in bytes, or 0 when s is nil or malformed. A validated policy has
// no malformed one.
func (s *Size) Value() int64 {
	if s == nil {
		return 0
	}
	n, _ := s.Bytes()
	return n
}

// A FailureLimit is a number of tasks ("12") or a share of a job's tasks
// ("5%"). In JSON a number is a number and a share is a string.
type FailureLimit string

// IsShare reports whether the limit is a share of a job's tasks.
func (l FailureLimit) IsShare() bool { return strings.HasSuffix(string(l), "%") }

// maxShareDigits bounds the cost of an exact share.
const maxShareDigits = 20

// Of returns the limit in tasks for a job of total tasks.
func (l FailureLimit) Of(total int64) (int64, error) {
	if share, ok := strings.CutSuffix(string(l), "%"); ok {
		percent, err := strconv.ParseFloat(share, 64)
		// Exact, because 32.3% of 1,000 as a float is less than 323.
		exact := new(big.Rat)
		_, ok := exact.SetString(share[:min(len(share), maxShareDigits)])
		if err != nil || !ok || len(share) > maxShareDigits || !(percent >= 0 && percent <= 100) {
			return 0, fmt.Errorf("not a share from 0%% to 100%%")
		}
		exact.Mul(exact, big.NewRat(total, 100))
		return new(big.Int).Quo(exact.Num(), exact.Denom()).Int64(), nil
	}
	n, err := strconv.ParseInt(string(l), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("not a number of tasks (0 or more), nor a share such as 5%%")
	}
	return n, nil
}

// MarshalJSON writes a count as a number and a share as a string.
func (l FailureLimit) MarshalJSON() ([]byte, error) {
	if n, err := strconv.ParseInt(string(l), 10, 64); err == nil {
		return strconv.AppendInt(nil, n, 10), nil
	}
	return json.Marshal(string(l))
}

// UnmarshalJSON accepts any number or string. [Spec.Validate] checks it, so that
// all violations are reported together.
func (l *FailureLimit) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*l = FailureLimit(s)
		return nil
	}
	*l = FailureLimit(data)
	return nil
}
