package views

import (
	"github.com/allcores/allcores/internal/jobs"
)

// An example is a submission to start from.
type example struct {
	name  string // in the address
	title string
	about string // the Python or shell feature that it shows
	spec  jobs.Spec
}

func ptr[T any](v T) *T { return &v }

// examples are in the page's order. The first one gains from every core, and
// takes some seconds.
var examples = []example{
	{
		name:  "primes",
		title: "A process pool for computation",
		about: "ProcessPoolExecutor().map(count_primes, …)",
		spec: jobs.Spec{
			Name: "primes",
			Program: jobs.Program{Python: &jobs.Python{Function: "count_primes", Source: `def is_prime(n):
    if n < 2:
        return False
    d = 2
    while d * d <= n:
        if n % d == 0:
            return False
        d += 1
    return True


def count_primes(start):
    """The number of primes from start to start + 2,500."""
    return sum(is_prime(n) for n in range(start, start + 2_500))
`}},
			Inputs: jobs.Inputs{Range: &jobs.Range{Stop: 500_000, Step: 2_500}},
			Tags:   []string{"example"},
		},
	},
	{
		name:  "squares",
		title: "Squares over a range",
		about: "Pool().map(square, range(1000))",
		spec: jobs.Spec{
			Name:    "squares",
			Program: jobs.Program{Python: &jobs.Python{Function: "square", Source: "def square(x):\n    return x * x\n"}},
			Inputs:  jobs.Inputs{Range: &jobs.Range{Stop: 1000, Step: 1}},
			Tags:    []string{"example"},
		},
	},
	{
		name:  "threads",
		title: "A thread pool for waiting",
		about: "ThreadPoolExecutor(8).map(fetch, range(200))",
		spec: jobs.Spec{
			Name: "slow requests",
			Program: jobs.Program{Python: &jobs.Python{Function: "fetch", Source: `import time


def fetch(n):
    """Stands for a slow request: it waits and uses no CPU."""
    time.sleep(0.25)
    return {"page": n, "status": 200}
`}},
			Inputs: jobs.Inputs{Range: &jobs.Range{Stop: 200, Step: 1}},
			Queue:  "io",
			Policy: jobs.Policy{Threads: ptr(8)},
			Tags:   []string{"example"},
		},
	},
	{
		name:  "files",
		title: "A command over files",
		about: "parallel sha256sum {} ::: /etc/hosts …",
		spec: jobs.Spec{
			Name:    "checksums",
			Program: jobs.Program{Command: &jobs.Command{Argv: []string{"sha256sum", "{}"}}},
			Inputs:  jobs.Inputs{Lines: ptr("/etc/hosts\n/etc/passwd\n/etc/group\n/etc/os-release\n")},
			Tags:    []string{"example"},
		},
	},
}

// Example returns the form with the values of the named example.
func Example(name string) (NewJobForm, bool) {
	for _, e := range examples {
		if e.name == name {
			return FormOf(e.spec), true
		}
	}
	return NewJobForm{}, false
}
