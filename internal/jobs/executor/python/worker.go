package python

import (
	"bufio"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor/process"
)

//go:embed runner/*.py
var runner embed.FS

// bootstrap tells the version in words that any Python understands, so that
// one too old for the runner is recognized, and hands over to the runner. It
// imports the runner from a file because Python then compiles it only once.
const bootstrap = `import sys,os,struct
if sys.version_info<(3,8):
    p=('%d.%d.%d\n'%sys.version_info[:3]).encode('ascii')
    os.write(4,struct.pack('<IB',len(p),72)+p)
else:
    sys.path.insert(0,sys.argv[1])
    import allcores_runner
    del sys.path[0]
    allcores_runner.main()
`

// install writes the runner below dir and returns the directory to import from.
func install(root string) (string, error) {
	dir := filepath.Join(root, "runner")
	final := filepath.Join(dir, "allcores_runner")
	if _, err := os.Stat(final); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("install runner: %w", err)
	}
	// Several may do this at once; the first to be ready wins.
	temporary, err := os.MkdirTemp(dir, "")
	if err != nil {
		return "", fmt.Errorf("install runner: %w", err)
	}
	defer os.RemoveAll(temporary)
	sources, err := fs.Sub(runner, "runner")
	if err == nil {
		err = os.CopyFS(temporary, sources)
	}
	if err == nil {
		if err = os.Rename(temporary, final); errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
			err = nil
		}
	}
	if err != nil {
		return "", fmt.Errorf("install runner: %w", err)
	}
	return dir, nil
}

const (
	pipeSize   = 1 << 20
	maxThreads = 256
)

// maxQueued is how many bytes of frames may wait for the owner until none is read.
const maxQueued = 64 << 20

// An event is something that a worker says, or that is seen of it.
type event struct {
	frame           // kind is 0 for the other events
	log   *logText  // printed past sys.stdout
	bad   error     // it sent what no runner sends, and is being killed
	exit  *exitInfo // it has ended; the last event
}

type exitInfo struct {
	process.Exit
	err error // of waiting for it
}

// A worker is a Python process with the runner in it.
type worker struct {
	process *process.Process
	shared  *sharedMemory
	memory  int64  // bytes that it may take; 0 for no limit
	dir     string // its working directory

	in   *os.File // frames to it
	poke *os.File // asks it to flush

	out [3]*pipe // frames, standard output, standard error

	mu         sync.Mutex
	queue      []event
	queued     int        // bytes of the frames in it
	room       *sync.Cond // there may be room for another frame
	idle       bool       // nobody listens; what it prints is dropped
	loadedIdle bool       // it said while nobody listened that its program is loaded
	more       chan struct{}
	gone       chan struct{} // closed when everything of it has ended
	served     atomic.Int64  // outcome frames read

	// taking is held for reading from before something printed is taken from
	// its pipe until it is in the queue.
	taking sync.RWMutex

	reading   func()        // called before each frame is read; nil except in tests
	frameTime time.Duration // from the first byte of a frame to its last one

	writes  chan []byte   // large frames, for the writing goroutine
	ended   chan struct{} // closed when nobody reads frames any more
	writing atomic.Int64

	// The rest is the owner's: of the turn that runs it, or of the pool.

	key         key
	born        time.Time
	asked       time.Time // when it was asked to load its program
	loaded      bool
	logged      int64  // log records received
	job         string // that its module was loaded for; empty when that has ended
	free        bool   // idle, and another job may have it
	lane        int
	turns       int // that it was used for
	cores       []int
	next        int64 // number of the next task
	chunks      int   // chunks sent so far
	user        time.Duration
	system      time.Duration
	printed     map[source]*openLine
	several     bool   // tasks at once
	interpreter string // as it says itself
	version     string
}

// spawn starts an interpreter that has no program yet: s.Path, in the
// environment and with the limits of s.
func spawn(s process.Spec, frameTime time.Duration, reading func()) (w *worker, err error) {
	root, err := process.Root()
	if err != nil {
		return nil, err
	}
	lib, err := install(root)
	if err != nil {
		return nil, err
	}
	w = &worker{
		more: make(chan struct{}, 1), gone: make(chan struct{}), writes: make(chan []byte, maxUnread), ended: make(chan struct{}),
		printed: make(map[source]*openLine), cores: s.Cores, memory: s.Memory, frameTime: frameTime, reading: reading,
		born: time.Now(),
	}
	w.room = sync.NewCond(&w.mu)
	var theirs []int
	defer func() {
		for _, fd := range theirs {
			syscall.Close(fd)
		}
		if err != nil {
			w.release()
		}
	}()
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	theirs = append(theirs, null)
	var out [3]*os.File
	defer func() {
		for i, file := range out {
			if file != nil && w.out[i] == nil {
				file.Close()
			}
		}
	}()
	for _, p := range []struct {
		file *(*os.File)
		name string
		in   bool
	}{
		{&out[1], "standard output", false}, {&out[2], "standard error", false},
		{&w.in, "frames to the worker", true}, {&out[0], "frames from the worker", false},
		{&w.poke, "flush request", true},
	} {
		read, write, err := process.Pipe()
		if err != nil {
			return nil, err
		}
		ours, child := read, write
		if p.in {
			ours, child = write, read
		}
		theirs = append(theirs, child)
		if *p.file, err = process.Ours(ours, p.name); err != nil {
			syscall.Close(ours)
			return nil, err
		}
		switch p.file {
		case &w.in:
			process.Enlarge(ours, pipeSize)
		case &out[0]:
			process.Enlarge(ours, pipeSize)
		}
	}
	for i, file := range out {
		if w.out[i], err = newPipe(file); err != nil {
			return nil, fmt.Errorf("set up a pipe from the worker: %w", err)
		}
	}
	if w.shared, err = newSharedMemory(maxThreads); err != nil {
		return nil, err
	}
	if w.dir, err = process.Scratch(); err != nil {
		return nil, err
	}
	s.Argv = []string{s.Path, "-c", bootstrap, lib}
	s.Dir = w.dir
	// 0 null, 1 and 2 output, 3 and 4 frames, 5 cells, 6 flush requests
	s.Files = []int{theirs[0], theirs[1], theirs[2], theirs[3], theirs[4], int(w.shared.file.Fd()), theirs[5]}
	w.process, err = process.Start(s)
	w.shared.handedOver()
	if err != nil {
		return nil, err
	}
	w.start()
	return w, nil
}

// release gives back what a worker holds here.
func (w *worker) release() {
	w.closeFiles()
	if w.shared != nil {
		w.shared.close()
	}
	if w.dir != "" {
		os.RemoveAll(w.dir)
	}
}

// closeFiles closes our ends of the pipes.
func (w *worker) closeFiles() {
	for _, p := range w.out {
		if p != nil {
			p.file.Close()
		}
	}
	for _, file := range []*os.File{w.in, w.poke} {
		if file != nil {
			file.Close()
		}
	}
}

func (w *worker) start() {
	var reading, writing sync.WaitGroup
	reading.Go(w.readFrames)
	reading.Go(func() { w.readPrinted(w.out[1], "stdout") })
	reading.Go(func() { w.readPrinted(w.out[2], "stderr") })
	writing.Go(w.write)
	go func() {
		exit, err := w.process.Wait()
		for _, p := range w.out {
			p.end()
		}
		reading.Wait()
		w.in.Close()
		close(w.ended)
		writing.Wait()
		w.push(event{exit: &exitInfo{exit, err}})
		w.process.Sweep()
		os.RemoveAll(w.dir)
		w.closeFiles()
		close(w.gone)
	}()
}

// push queues an event for the owner.
func (w *worker) push(e event) {
	w.mu.Lock()
	if !w.idle || e.exit != nil {
		w.queue = append(w.queue, e)
		w.queued += len(e.body)
	} else if e.loaded() {
		w.loadedIdle = true
	}
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// loaded reports whether the event acknowledges that the program is loaded.
func (e event) loaded() bool { return e.kind == frameLoaded && len(e.body) == 0 }

// events are those since the last call, in their order.
func (w *worker) events() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	queue := w.queue
	w.queue, w.queued = nil, 0
	w.room.Broadcast()
	return queue
}

// admit waits until there is room for another frame: a process that sends more
// than its owner can take must wait in its turn.
func (w *worker) admit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.queued > maxQueued && !w.idle {
		w.room.Wait()
	}
}

// setIdle says whether somebody listens. It reports false when the process has
// ended, or said something unexpected, before it became idle.
func (w *worker) setIdle(idle bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = idle
	w.room.Broadcast()
	defer func() { w.loaded = w.loaded || w.loadedIdle }()
	for _, e := range w.queue {
		if e.loaded() {
			w.loadedIdle = true // its turn was over before that
			continue
		}
		if e.exit != nil || e.bad != nil || e.kind != 0 && e.kind != frameLogs {
			return false
		}
	}
	w.queue, w.queued = nil, 0
	return true
}

func (w *worker) readFrames() {
	r := bufio.NewReaderSize(w.out[0], 64<<10)
	bound := func(begun bool) {
		var until time.Time
		if begun {
			until = time.Now().Add(w.frameTime)
		}
		w.out[0].deadline(until)
	}
	for {
		if w.reading != nil {
			w.reading()
		}
		f, err := readFrame(r, bound)
		if errors.Is(err, errFrame) {
			w.push(event{bad: err})
			w.process.Kill()
			return
		}
		if err != nil {
			return
		}
		w.admit()
		if slices.Contains(outcomeFrames, f.kind) {
			w.served.Add(1)
		}
		if f.kind == frameEnd {
			// The process saw the pipes empty before it said so. What was in
			// them is to be in the queue before the end of the chunk is.
			w.taking.Lock()
			w.push(event{frame: f})
			w.taking.Unlock()
			continue
		}
		w.push(event{frame: f})
	}
}

// maxUnread is how many frames may wait for a process to read them. At most two
// chunks and a turn are on their way to one that does.
const maxUnread = 16

// send writes frames without waiting for the process: what fits in the pipe at
// once, the rest on a goroutine of its own. It reports false when the process
// reads nothing.
func (w *worker) send(data []byte) bool {
	if w.writing.Load() == 0 {
		// An error means that the process has ended, which is seen elsewhere.
		if data = data[writeSome(w.in, data):]; len(data) == 0 {
			return true
		}
	}
	if w.writing.Add(1) > maxUnread {
		return false
	}
	select {
	case w.writes <- data:
	case <-w.ended:
	}
	return true
}

// writeSome writes what fits in the pipe now, and returns how much that was.
func writeSome(pipe *os.File, data []byte) (n int) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Write(func(fd uintptr) bool {
		for n < len(data) {
			m, err := syscall.Write(int(fd), data[n:])
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if m <= 0 || err != nil {
				break
			}
			n += m
		}
		return true
	})
	return n
}

func (w *worker) write() {
	for {
		select {
		case data := <-w.writes:
			w.in.Write(data)
			w.writing.Add(-1)
		case <-w.ended:
			return
		}
	}
}

// flush asks the process for what it has not sent yet. Where it has left so many
// requests unread that the pipe is full, another one is of no use.
func (w *worker) flush() { writeSome(w.poke, []byte{1}) }

// kill ends the process and all that it started, now.
func (w *worker) kill() { w.process.Kill() }

// retire lets the process end by itself, and ends it when it does not.
func (w *worker) retire() {
	w.in.Close()
	grace := time.NewTimer(retireGrace)
	defer grace.Stop()
	select {
	case <-w.gone:
	case <-grace.C:
		w.kill()
	}
	w.bury()
}

// destroy ends the process and all that it started, now.
func (w *worker) destroy() {
	w.kill()
	w.bury()
}

// bury waits until everything of the process has ended, and frees the cells,
// which the owner must not read any more.
func (w *worker) bury() {
	w.mu.Lock()
	w.idle = true
	w.room.Broadcast()
	w.mu.Unlock()
	<-w.gone
	w.shared.close()
}

// retireGrace is how long an idle process has to end by itself.
const retireGrace = 500 * time.Millisecond

// errNoMemory is the error of an interpreter that needs more than its memory
// limit only to start.
var errNoMemory = errors.New("does not start within its memory limit")

// startMemory is more than any interpreter needs to start, in bytes. One that
// does not within a resource limit below that lacks memory, in whatever words it
// says so.
const startMemory = 64 << 20

// hello waits for a new process to say what it is.
func (w *worker) hello(timeout time.Duration) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	var printed strings.Builder
	for {
		select {
		case <-w.more:
		case <-deadline.C:
			return fmt.Errorf("is not a Python interpreter: it does not answer")
		}
		events := w.events()
		for i, e := range events {
			switch {
			case e.log != nil && printed.Len() < 1000:
				printed.Write(e.log.text)
			case e.exit != nil:
				if w.lackedMemory(e.exit) || w.memory > 0 && !w.process.Grouped() && w.memory < startMemory {
					return errNoMemory
				}
				said := strings.TrimSpace(printed.String())
				if said == "" {
					said = describeExit(e.exit.Status)
				}
				return fmt.Errorf("is not a Python interpreter: %s", said)
			case e.kind == frameHello:
				w.version, w.interpreter, _ = strings.Cut(string(e.body), "\n")
				w.mu.Lock()
				w.queue = append(events[i+1:], w.queue...)
				w.mu.Unlock()
				if w.interpreter == "" {
					return fmt.Errorf("is Python %s; 3.8 or newer is needed", w.version)
				}
				return nil
			}
		}
	}
}

// program is the frame that loads a program.
type program struct {
	Source   string            `json:"source"`
	Function string            `json:"function"`
	Call     string            `json:"call"`
	Threads  int               `json:"threads"`
	Limit    string            `json:"limit"` // of memory, in words; empty for none
	Kills    string            `json:"kills"` // file that counts kills for lack of memory, or empty
	Env      map[string]string `json:"env"`
}

func jsonFrame(kind byte, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode frame: %v", err))
	}
	return appendFrame(nil, kind, body)
}

// describeExit is a sentence about how a process ended.
func describeExit(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "it was killed by " + process.SignalName(status.Signal())
	}
	return fmt.Sprintf("it ended with exit code %d", status.ExitStatus())
}
