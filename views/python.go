package views

import (
	"embed"
	"strings"
)

//go:embed snippets/*
var snippetFiles embed.FS

// A PythonPage holds the manual's page about the Python client at /docs/python.
// [Python] renders it.
type PythonPage struct{ Page }

// A Snippet is a program of the page about the Python client.
type Snippet struct {
	File   string // its name
	Run    string // the shell command that runs it; empty for a shell script
	Prints string // a line that it prints
}

// Snippets lists the programs of the page about the Python client. The first one
// leaves the files that the others need.
var Snippets = []Snippet{
	{"start.sh", "", "332833500"},
	{"executor.py", "python3 executor.py", "10 / 0 fails: division by zero"},
	{"pool.py", "python3 pool.py", "[8, 9]"},
	{"job.py", "python3 job.py", "[0, 1, 4, 9, 16]"},
	{"plain.py", "python3 allcores.py run plain.py", "from a process"},
	{"joblib.py", "python3 with_joblib.py", "[1.0, 2.0, 3.0]"},
	{"shared.py", "python3 shared.py", "letters: 12"},
	{"manager.py", "python3 manager.py", "[(0, 0), (1, 1), (2, 4)]"},
	{"commands.sh", "", "number 2"},
}

// Text returns the program for a server at base.
func (s Snippet) Text(base string) string {
	text, err := snippetFiles.ReadFile("snippets/" + s.File)
	if err != nil {
		panic(err)
	}
	return strings.ReplaceAll(string(text), "BASE", base)
}

func snippet(file, base string) string { return Snippet{File: file}.Text(base) }

var pythonChapters = []chapterLink{
	{"start", "Ten lines"},
	{"executor", "Executor"},
	{"pool", "Pool"},
	{"job", "Jobs that outlive you"},
	{"scripts", "Unchanged scripts"},
	{"joblib", "joblib"},
	{"shared", "Shared state"},
	{"commands", "Command line"},
}

// sharedRows describe the kinds of shared objects.
var sharedRows = [][2]string{
	{"Value(name, initial)", "get, set, add (returns the new value), compare_exchange, get_lock. add and compare_exchange are atomic."},
	{"Array(name, typecode, size)", "Numbers of a typecode of Python's array, by index and slice."},
	{"Queue(name, maxsize)", "put, get, qsize, task_done, join. First in, first out; each item goes to one task."},
	{"Pipe(name)", "Both ends: send, recv, poll, close."},
	{"Dict(name), List(name)", "As dict and list. Each operation is atomic."},
	{"Lock, Semaphore, Condition", "Held by a running task. When it ends in any way, what it holds is free within 10 seconds."},
	{"Event, Barrier", "As in multiprocessing. A task that dies at a barrier breaks it."},
	{"Manager()", "The same under multiprocessing's names, without names of your own: pass them to tasks."},
	{"progress(fraction, message)", "How far the task is, shown on its page and its job's."},
}
