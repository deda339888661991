package python

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/allcores/allcores/internal/jobs/executor"
	"github.com/allcores/allcores/internal/jobs/executor/process"
)

// maxThreads is how many tasks a process runs at once at most.
const maxThreads = 256

// A worker is a Python process with the runner in it. Its goroutines read and write
// its pipes; its owner, a session or the pool, has its inbox and outbox and what is
// below them.
type worker struct {
	process  *process.Process
	shared   *sharedMemory
	receiver *receiver
	inbox    *inbox
	outbox   *outbox
	poke     *os.File      // asks it to flush
	gone     chan struct{} // closed when the process and all that it started have ended

	life
	assignment
	tally
	lines assembler
}

// life holds the facts that stay the same for the whole life of a worker.
type life struct {
	born        time.Time
	dir         string // its working directory
	memory      int64  // bytes that it may take; 0 for no limit
	interpreter string // its path, as it reports it
	version     string
}

// An assignment is the job and program that a worker serves, and its state.
type assignment struct {
	key    key
	job    string // that its module was loaded for; empty when that has ended
	lane   int
	cores  []int
	uses   int       // sessions that it served
	free   bool      // idle, and another job may have it
	asked  time.Time // when it was asked to load its program
	loaded bool      // it has loaded the program
}

// A tally counts what a worker was sent and has used, over its whole life.
type tally struct {
	next   int64         // number of the next task
	ran    int64         // tasks of the chunks that have ended, without those given back
	chunks int           // chunks sent
	logged int64         // log records received
	user   time.Duration // CPU time in updates so far
	system time.Duration
}

// spawn starts an interpreter that has no program yet: s.Path, in the environment
// and with the limits of s. A frame may take frameTime; tests have onRead called
// before each.
func spawn(s process.Spec, frameTime time.Duration, onRead func()) (w *worker, err error) {
	lib, err := install()
	if err != nil {
		return nil, err
	}
	in := newInbox()
	w = &worker{
		receiver: &receiver{inbox: in, frameTime: frameTime, onRead: onRead},
		inbox:    in, outbox: newOutbox(), gone: make(chan struct{}), lines: newAssembler(),
		life:       life{born: time.Now(), memory: s.Memory},
		assignment: assignment{cores: s.Cores},
	}
	defer func() {
		if err != nil {
			w.release()
		}
	}()
	var theirs descriptors
	defer theirs.close()
	if err := w.connect(&theirs); err != nil {
		return nil, err
	}
	if w.shared, err = newSharedMemory(maxThreads); err != nil {
		return nil, err
	}
	w.receiver.shared = w.shared
	if w.dir, err = process.Scratch(); err != nil {
		return nil, err
	}
	s.Argv = []string{s.Path, "-c", bootstrap, lib}
	s.Dir = w.dir
	// 0 null, 1 and 2 output, 3 and 4 frames, 5 shared memory, 6 flush requests
	s.Files = slices.Insert(slices.Clone(theirs), 5, int(w.shared.file.Fd()))
	w.process, err = process.Start(s)
	w.shared.handedOver()
	if err != nil {
		return nil, err
	}
	w.receiver.kill = w.process.Kill
	w.start()
	return w, nil
}

// descriptors are those of a process that is about to start.
type descriptors []int

func (d *descriptors) close() {
	for _, fd := range *d {
		syscall.Close(fd)
	}
}

// connect makes the pipes of a worker and appends the ends of its process, in the
// order that the runner expects.
func (w *worker) connect(theirs *descriptors) (err error) {
	null, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	*theirs = append(*theirs, null)
	r := w.receiver
	if r.pipes[1], err = theirs.pipeFrom("standard output"); err != nil {
		return err
	}
	if r.pipes[2], err = theirs.pipeFrom("standard error"); err != nil {
		return err
	}
	if w.outbox.pipe, err = theirs.pipeTo("frames to the worker"); err != nil {
		return err
	}
	theirs.enlargeLast()
	if r.pipes[0], err = theirs.pipeFrom("frames from the worker"); err != nil {
		return err
	}
	theirs.enlargeLast()
	w.poke, err = theirs.pipeTo("flush request")
	return err
}

// enlargeLast asks for pipeSize bytes of room in the pipe made last.
func (d *descriptors) enlargeLast() { process.Enlarge((*d)[len(*d)-1], pipeSize) }

// pipeFrom makes a pipe that the process writes to.
func (d *descriptors) pipeFrom(name string) (*pipe, error) {
	ours, theirs, err := process.Pipe()
	if err != nil {
		return nil, err
	}
	*d = append(*d, theirs)
	file, err := process.Ours(ours, name)
	if err != nil {
		syscall.Close(ours)
		return nil, err
	}
	p, err := newPipe(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("set up a pipe from the worker: %w", err)
	}
	return p, nil
}

// pipeTo makes a pipe that the process reads from.
func (d *descriptors) pipeTo(name string) (*os.File, error) {
	theirs, ours, err := process.Pipe()
	if err != nil {
		return nil, err
	}
	*d = append(*d, theirs)
	file, err := process.Ours(ours, name)
	if err != nil {
		syscall.Close(ours)
		return nil, err
	}
	return file, nil
}

// release frees what a worker that did not start holds here.
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
	for _, p := range w.receiver.pipes {
		if p != nil {
			p.file.Close()
		}
	}
	for _, file := range []*os.File{w.outbox.pipe, w.poke} {
		if file != nil {
			file.Close()
		}
	}
}

// start starts the goroutines that read and write the pipes, and one that waits
// for the end of the process. That one queues the exit only after all that lay in
// the pipes was read.
func (w *worker) start() {
	r := w.receiver
	var reading, writing sync.WaitGroup
	reading.Go(r.readFrames)
	reading.Go(func() { r.readOutput(r.pipes[1], "stdout") })
	reading.Go(func() { r.readOutput(r.pipes[2], "stderr") })
	writing.Go(w.outbox.run)
	go func() {
		exit, err := w.process.Wait()
		for _, p := range r.pipes {
			p.end()
		}
		reading.Wait()
		w.outbox.close()
		writing.Wait()
		w.inbox.push(event{exit: &exitInfo{exit, err}})
		w.process.KillMarked()
		os.RemoveAll(w.dir)
		w.closeFiles()
		close(w.gone)
	}()
}

// setIdle starts or ends the time in which a worker has no session. It returns
// false when the process has ended, or sent something unexpected, before that.
func (w *worker) setIdle(idle bool) bool {
	ok := w.inbox.setIdle(idle)
	w.loaded = w.loaded || w.inbox.loadedIdle()
	return ok
}

// flush asks the process for what it has not sent yet. Where so many requests are
// unread that the pipe is full, another one is of no use.
func (w *worker) flush() { writeSome(w.poke, []byte{1}) }

// kill ends the process and all that it started, now.
func (w *worker) kill() { w.process.Kill() }

// retireGrace is how long an idle process has to end by itself.
const retireGrace = 500 * time.Millisecond

// retire lets the process end by itself, and kills it after retireGrace.
func (w *worker) retire() {
	w.outbox.pipe.Close()
	if !w.goneWithin(retireGrace) {
		w.kill()
	}
	w.bury()
}

// goneWithin waits for the end of the process at most so long, and reports whether
// it has ended.
func (w *worker) goneWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-w.gone:
		return true
	case <-timer.C:
		return false
	}
}

// destroy ends the process and all that it started, now.
func (w *worker) destroy() {
	w.kill()
	w.bury()
}

// bury waits until everything of the process has ended, and frees the shared
// memory, which the owner must not read any more.
func (w *worker) bury() {
	w.inbox.discard()
	<-w.gone
	w.shared.close()
}

// begin starts the next session of a process that served one before: it sends the
// job and the lane. For another job the process loads the module anew.
func (w *worker) begin(lane executor.Lane) {
	fresh := w.job != lane.Job
	if fresh {
		w.inbox.forgetLoaded()
		w.loaded, w.asked = false, time.Now()
	}
	w.job, w.lane = lane.Job, lane.Number
	w.uses++
	w.outbox.send(jsonFrame(frameSession, sessionFrame{Env: environ(lane), Fresh: fresh}))
}

// pin binds the process to the cores unless it is already.
func (w *worker) pin(cores []int) error {
	if slices.Equal(w.cores, cores) {
		return nil
	}
	if err := w.process.Pin(cores); err != nil {
		return err
	}
	w.cores = slices.Clone(cores)
	return nil
}

// describeExit is a sentence about how a process ended.
func describeExit(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "it was killed by " + process.SignalName(status.Signal())
	}
	return fmt.Sprintf("it ended with exit code %d", status.ExitStatus())
}
