package views

import (
	"encoding/json"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/insight"
)

// examples are in the gallery's order. The first one gains from every core, and
// takes some seconds: new users start with it.
var examples = []example{
	{
		name:  "primes",
		title: "ProcessPoolExecutor: computing on every core",
		short: "ProcessPoolExecutor",
		about: "ProcessPoolExecutor().map(count_primes, range(0, 500_000, 2_500))",
		spec: jobs.Spec{
			Name:    "primes",
			Program: pythonExample("primes", "count_primes"),
			Inputs:  jobs.Inputs{Range: &jobs.Range{Stop: 500_000, Step: 2_500}},
			Tags:    []string{"example"},
		},
		when: "Use it when a function computes and its inputs do not depend on each other. " +
			"Each process has an interpreter of its own, so all of them compute at once. " +
			"A job has as many processes as its queue has slots, unless you set a number.",
		verdict: insight.WellSpread,
		why:     "Each of the 200 tasks computes for some milliseconds, long enough to outweigh the cost of distributing it. The lanes have tasks until the end, so the speed-up is close to the number of cores.",
		listed:  true,
	},
	{
		name:  "pool",
		title: "Pool: one function over a range",
		short: "Pool",
		about: "Pool().map(estimate_pi, range(60))",
		spec: jobs.Spec{
			Name:    "estimate pi",
			Program: pythonExample("pool", "estimate_pi"),
			Inputs:  rangeOf(60),
			Tags:    []string{"example"},
		},
		when: "Use it as you would use multiprocessing.Pool: one function, and an iterable of inputs. " +
			"Results arrive in the order of the inputs, or in the order of completion as with imap_unordered. " +
			"The number of inputs in a chunk follows the measured time of a task, so you need no chunksize.",
		verdict: insight.WellSpread,
		why:     "The tasks take equally long and exchange hardly any data: a number in, a number out. Both keep every lane computing.",
		listed:  true,
	},
	{
		name:  "process",
		title: "Process: a few long computations",
		short: "Process",
		about: "Process(target=derive_key, args=(password,)) for each password",
		spec: jobs.Spec{
			Name:    "derive keys",
			Program: pythonExample("process", "derive_key"),
			Inputs:  jobs.Inputs{Items: texts("ada", "grace", "edsger", "barbara", "donald", "frances", "alan", "radia")},
			Policy:  jobs.Policy{ChunkSize: ptr(1)},
			Tags:    []string{"example"},
		},
		when: "Use it for a few computations that take a second or more each, where you would start one multiprocessing.Process for each. " +
			"Only as many run at once as there are slots; the others wait, instead of competing for the cores. " +
			"If one dies, it fails alone, and the others keep their results.",
		verdict: insight.WellSpread,
		why:     "A chunk has one task here (chunk_size 1), so each lane claims the next computation as soon as it has finished one. With few tasks of a similar length the lanes end almost together.",
	},
	{
		name:  "threads",
		title: "ThreadPoolExecutor: waiting at the same time",
		short: "ThreadPoolExecutor",
		about: "ThreadPoolExecutor(8).map(fetch, range(48))",
		spec: jobs.Spec{
			Name:    "slow requests",
			Program: pythonExample("threads", "fetch"),
			Inputs:  rangeOf(48),
			Queue:   "io",
			Policy:  jobs.Policy{Processes: ptr(1), Threads: ptr(8)},
			Tags:    []string{"example"},
		},
		when: "Use it when tasks wait for something else: requests, disks, other programs. " +
			"The policy's threads is the max_workers of a ThreadPoolExecutor in each process. " +
			"The queue io allows several processes per core, because waiting tasks need no core.",
		verdict: insight.WaitingOnIO,
		why:     "The tasks wait almost all of their time and compute hardly at all. The speed-up is close to 8 on a single core, and the report advises more threads: more tasks could wait at once.",
		listed:  true,
	},
	{
		name:  "threading",
		title: "threading: threads of a task’s own",
		short: "threading",
		about: "Thread(target=ping, args=(host, answers)) within a task",
		spec: jobs.Spec{
			Name:    "ping racks",
			Program: pythonExample("threading", "check"),
			Inputs:  rangeOf(30),
			Queue:   "io",
			Policy:  jobs.Policy{Processes: ptr(2)},
			Tags:    []string{"example"},
		},
		when: "Use it when one input needs several waits, and their results belong together. " +
			"The task starts its threads and joins them, as in any program; they share its variables. " +
			"Start no threads to compute: the interpreter lock lets one of them compute at a time.",
		verdict: insight.WaitingOnIO,
		why:     "The report sees tasks, not their threads. Eight waits of 100 ms overlap in each task, so a task takes little more than 100 ms, and computes for a small part of that.",
	},
	{
		name:  "splitting-fine",
		title: "Task splitting, too fine",
		short: "Splitting, too fine",
		about: "pool.map(steps, range(1, 20_000), chunksize=20)",
		spec: jobs.Spec{
			Name:    "Collatz, too fine",
			Program: pythonExample("splitting_fine", "steps"),
			Inputs:  jobs.Inputs{Range: &jobs.Range{Start: 1, Stop: 20_000, Step: 1}},
			Policy:  jobs.Policy{ChunkSize: ptr(20)},
			Tags:    []string{"example"},
		},
		when: "Run it to see what splitting costs: each task takes some microseconds, and chunks of 20 tasks are fixed. " +
			"A process claims, runs and records 1,000 chunks, each of which takes longer to distribute than to run. " +
			"Leave chunk_size empty and run it again: then chunks grow until distributing them costs little.",
		verdict: insight.TooLittleWork,
		why:     "Most of the time goes to distributing chunks, not to tasks. The report gives both times per task, and advises larger chunks.",
	},
	{
		name:  "splitting",
		title: "Task splitting, done well",
		short: "Splitting, done well",
		about: "pool.map(longest, range(1, 100_000, 2_500))",
		spec: jobs.Spec{
			Name:    "Collatz, split well",
			Program: pythonExample("splitting", "longest"),
			Inputs:  jobs.Inputs{Range: &jobs.Range{Start: 1, Stop: 100_000, Step: 2_500}},
			Tags:    []string{"example"},
		},
		when: "Split work so that a task takes between 10 ms and some seconds. " +
			"Here an input stands for 2,500 numbers, and the function returns only the best of them. " +
			"Have several times as many tasks as cores, so that all lanes have work until the end.",
		verdict: insight.WellSpread,
		why:     "A task computes for tens of milliseconds and returns two numbers. Distributing it costs less than a hundredth of that.",
	},
	{
		name:  "balancing",
		title: "Load balancing: tasks of different lengths",
		short: "Load balancing",
		about: "imap_unordered(work, range(80)), the last inputs take longest",
		spec: jobs.Spec{
			Name:    "uneven tasks",
			Program: pythonExample("balancing", "work"),
			Inputs:  rangeOf(80),
			Tags:    []string{"example"},
		},
		when: "Rely on it when you do not know how long a task takes. " +
			"Lanes claim chunks as they become free, chunks shrink towards the end, and a chunk that takes too long gives back the tasks that it has not begun. " +
			"Pool.map deals equal numbers of tasks in advance: here one process would get all the long ones.",
		verdict: insight.WellSpread,
		why:     "The last task takes 80 times as long as the second, yet no lane waits long for the others at the end.",
	},
	{
		name:  "long-task",
		title: "Load balancing: one long task at the end",
		short: "One long task",
		about: "map(work, range(31)), the last input takes 120 times as long",
		spec: jobs.Spec{
			Name:    "one long task",
			Program: pythonExample("long_task", "work"),
			Inputs:  rangeOf(31),
			Tags:    []string{"example"},
		},
		when: "Run it to see what no scheduler can mend: one task that outlasts all others. " +
			"It runs on one core, and the other cores have nothing left to do. " +
			"Split such a task, or put it first: then the others run beside it.",
		verdict: insight.OneLongTask,
		why:     "The report names the task, its share of the wall time, and how long the other lanes were idle.",
	},
	{
		name:  "interpreter-lock",
		title: "The interpreter lock",
		short: "Interpreter lock",
		about: "ThreadPoolExecutor(4).map(work, range(100))",
		spec: jobs.Spec{
			Name:    "threads that compute",
			Program: pythonExample("interpreter_lock", "work"),
			Inputs:  rangeOf(100),
			Policy:  jobs.Policy{Processes: ptr(1), Threads: ptr(4)},
			Tags:    []string{"example"},
		},
		when: "Run it to see why threads do not speed up computing in Python. " +
			"Four threads of one process compute, but only the one that has the interpreter lock makes progress. " +
			"Change it to four processes with one thread each, and it uses four cores.",
		verdict: insight.InterpreterLock,
		why:     "CPU time divided by wall time is about 1, although four tasks run at once. The report advises processes in the place of threads.",
	},
	{
		name:  "ipc",
		title: "The cost of communication between processes",
		short: "Cost of communication",
		about: "map(load, range(60)), with 25,000 numbers as each result",
		spec: jobs.Spec{
			Name:    "large results",
			Program: pythonExample("ipc", "load"),
			Inputs:  rangeOf(60),
			Tags:    []string{"example"},
		},
		when: "Run it to see what large inputs and outputs cost. " +
			"Each result is encoded in the task’s process, sent to the server and stored; with multiprocessing it would be pickled and piped. " +
			"Return a summary, or write a file and return its name.",
		verdict: insight.DataMovement,
		why:     "The function returns at once, so nearly all of the time goes to moving half a megabyte per task. The report gives the share of the time and the bytes.",
	},
	{
		name:  "files",
		title: "A command over files",
		short: "Commands",
		about: "parallel sha256sum {} ::: /etc/hosts …",
		spec: jobs.Spec{
			Name:    "checksums",
			Program: jobs.Program{Command: &jobs.Command{Argv: []string{"sha256sum", "{}"}}},
			Inputs:  jobs.Inputs{Lines: ptr("/etc/hosts\n/etc/passwd\n/etc/group\n/etc/os-release\n")},
			Tags:    []string{"example"},
		},
		when: "Use it to run a program that is not Python, as with GNU parallel or xargs -P. " +
			"Each input is one run of the command; {} is its place in the arguments. " +
			"No shell reads the input, so spaces and quotes in file names do no harm.",
		why:    "Four checksums take a few milliseconds, which is too short for a verdict: the report says so.",
		listed: true,
	},
}

// texts returns inputs that are texts.
func texts(values ...string) []json.RawMessage {
	items := make([]json.RawMessage, len(values))
	for i, value := range values {
		item, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		items[i] = item
	}
	return items
}
