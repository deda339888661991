package shared

import (
	"cmp"
	"fmt"
	"slices"
)

// A partyKey identifies a task or an outside client.
type partyKey struct {
	job    string
	task   int64
	client string
}

// A party is a task, over all of its executions, or an outside client.
type party struct {
	partyKey
	exec     *execution // that runs; nil for none
	lease    int64      // of its newest execution
	journals map[uint32]*journal
	permits  map[*semaphore]int64 // acquired and not released by it
}

func (p *party) isTask() bool { return p.job != "" }

// String returns the party for messages.
func (p *party) String() string {
	if p.isTask() {
		return fmt.Sprintf("task %d", p.task)
	}
	return "an outside client"
}

// An execution is one run of a task, or the life of an outside client.
type execution struct {
	number uint64
	*party
	at     map[uint32]int // the next ordinal of each thread
	locks  []*mutex       // that it holds
	parked []*Wait
}

// journal returns the journal of a thread.
func (e *execution) journal(thread uint32) *journal {
	j := e.journals[thread]
	if j == nil {
		j = &journal{}
		if e.journals == nil {
			e.journals = make(map[uint32]*journal)
		}
		e.journals[thread] = j
	}
	return j
}

// execution returns the execution of a caller, which begins with its first call.
func (s *Space) execution(c *Caller) (*execution, *Error) {
	key := partyKey{job: c.Job, task: c.Task, client: c.Client}
	if c.Job == "" {
		key.task = 0
	} else {
		key.client = ""
	}
	p := s.parties[key]
	if p != nil && p.exec != nil && p.lease == c.Lease {
		return p.exec, nil
	}
	if p != nil && c.Job != "" && c.Lease <= p.lease {
		return nil, errorf(ErrSuperseded, "task %d runs elsewhere by now, or has ended", c.Task)
	}
	if before := s.alone[c.Lease]; c.Alone && c.Job != "" && before != nil && s.execs[before.number] == before {
		s.logNumber(eventLeave, before.number)
		s.end(before, false)
	}
	s.logOpen(key, c.Lease)
	e := s.open(key, c.Lease)
	if c.Alone && c.Job != "" {
		s.alone[c.Lease] = e
	}
	return e, nil
}

// open begins an execution and ends the one before it.
func (s *Space) open(key partyKey, lease int64) *execution {
	p := s.parties[key]
	if p == nil {
		p = &party{partyKey: key}
		s.parties[key] = p
	}
	if p.exec != nil {
		s.end(p.exec, true)
	}
	s.nextExec++
	e := &execution{number: s.nextExec, party: p, at: make(map[uint32]int, 1)}
	p.exec, p.lease = e, lease
	s.execs[e.number] = e
	return e
}

// Whether a call was made before.
type familiarity uint8

const (
	fresh    familiarity = iota // it was not
	answered                    // it was, and has its answer or its wait
	again                       // by an earlier execution, and is to be made really
	reread                      // by this execution, and only read
)

// known looks for a call that was made before, by an earlier execution or in an
// earlier attempt of this one. It prepares the wait of a call that must be made.
func (s *Space) known(w *Wait, ordinal int) (Answer, *Wait, familiarity) {
	w.sum = sumOf(&w.Call)
	if !w.party.isTask() {
		return s.knownKey(w)
	}
	next := w.exec.at[w.thread]
	repeated := ordinal != NextOrdinal
	if !repeated {
		ordinal = next
	}
	if repeated && ordinal <= next {
		for _, p := range w.exec.parked {
			if p.thread == w.thread && p.sum == w.sum {
				return Answer{}, p, answered
			}
		}
	}
	j := w.exec.journals[w.thread]
	switch {
	case ordinal > next:
		return Answer{Err: errorf(ErrUnavailable, "call %d of %s came before call %d", ordinal, w.party, next)}, nil, answered
	case j == nil || ordinal >= j.n:
		return Answer{}, nil, fresh
	}
	e := j.at(ordinal)
	if e.sum != w.sum {
		return Answer{Err: errorf(ErrDiffers, "%s of the %s %q is another call than call %d of %s was when the task ran before; a task must make the same calls each time it runs",
			w.Call.Op, w.Call.Kind, w.Call.Name, ordinal, w.party)}, nil, answered
	}
	answer, err := ParseAnswer(e.answer)
	if err != nil && !e.large {
		return Answer{Err: errorf(ErrUnavailable, "the journal of %s is damaged", w.party)}, nil, answered
	}
	if ordinal < next { // of this very execution
		if e.large {
			w.replay = true
			return Answer{}, nil, reread
		}
		return answer, nil, answered
	}
	w.exec.at[w.thread]++
	held := e.class == holds && answer.Err == nil && string(answer.Value) != "false"
	if !held && !e.large {
		s.logReplayed(w)
		return answer, nil, answered
	}
	w.replay = true
	if w.Call.Op == "acquire" {
		w.Call.Timeout = Forever
	}
	return Answer{}, nil, again
}

// End ends the execution of a task that has no outcome: its process or its node was
// lost, or it runs again. It does nothing where the task has a later execution.
func (s *Space) End(job string, task, lease int64) {
	p := s.parties[partyKey{job: job, task: task}]
	if p == nil || p.exec == nil || p.lease > lease {
		return
	}
	s.logNumber(eventEnd, p.exec.number)
	s.end(p.exec, true)
}

// sayLife makes the operations end and ping.
func (s *Space) sayLife(c *Caller, op string) Answer {
	key := partyKey{job: c.Job, task: c.Task, client: c.Client}
	if c.Job == "" {
		key.task = 0
	} else {
		key.client = ""
	}
	if p := s.parties[key]; op == OpEnd && p != nil && p.exec != nil && p.lease == c.Lease {
		s.logNumber(eventLeave, p.exec.number)
		s.end(p.exec, false)
	}
	return Answer{Value: null}
}

// end ends an execution: its waits end, its locks fall, and where it died a barrier
// breaks. A task without an outcome forgets what it only read since its last change.
func (s *Space) end(e *execution, died bool) {
	delete(s.execs, e.number)
	if s.alone[e.lease] == e {
		delete(s.alone, e.lease)
	}
	e.party.exec = nil
	for _, w := range slices.Clone(e.parked) {
		s.take(w)
		w.object.dropped(s, w)
		s.woken = append(s.woken, Woken{w.ID, Answer{Err: errorf(ErrSuperseded, "%s has ended", e.party)}})
	}
	for len(e.locks) > 0 {
		e.locks[0].fall(s)
	}
	if died {
		s.eachBarrier(func(b *barrier) { b.lost(s, e.party, false) })
	}
	for _, j := range e.journals {
		s.journals -= int64(j.trim())
	}
	if !e.isTask() {
		delete(s.parties, e.partyKey)
	}
}

// Recorded ends a task that has its outcome, and forgets its journal. Where it has
// failed or was cancelled, the permits that it holds come back.
func (s *Space) Recorded(job string, task int64, succeeded bool) {
	p := s.parties[partyKey{job: job, task: task}]
	if p == nil {
		return
	}
	s.logRecorded(p.partyKey, succeeded)
	s.recorded(p, succeeded)
}

func (s *Space) recorded(p *party, succeeded bool) {
	if p.exec != nil {
		s.end(p.exec, false)
	}
	if !succeeded {
		s.giveBack(p)
		s.eachBarrier(func(b *barrier) { b.lost(s, p, true) })
	}
	for _, j := range p.journals {
		s.journals -= int64(len(j.text))
	}
	delete(s.parties, p.partyKey)
}

// giveBack returns the permits of a party.
func (s *Space) giveBack(p *party) {
	for _, name := range p.semaphores() {
		sem, _ := s.objects[name].(*semaphore)
		n := p.permits[sem]
		delete(p.permits, sem)
		sem.giveBack(s, n)
	}
}

// semaphores returns the names of those from which the party has permits, sorted.
func (p *party) semaphores() []string {
	var names []string
	for sem, n := range p.permits {
		if n > 0 {
			names = append(names, sem.name)
		}
	}
	slices.Sort(names)
	return names
}

// Lose ends an outside client that has not called for long: its locks and permits come
// back.
func (s *Space) Lose(client string) {
	p := s.parties[partyKey{client: client}]
	if p == nil || p.exec == nil {
		return
	}
	s.logNumber(eventLose, p.exec.number)
	s.lose(p)
}

func (s *Space) lose(p *party) {
	s.end(p.exec, true)
	s.giveBack(p)
}

// A Running is an execution that has not ended.
type Running struct {
	Job         string
	Task, Lease int64
}

// Running lists the tasks' executions that have not ended, in their order.
func (s *Space) Running() []Running {
	var list []Running
	for _, p := range s.parties {
		if p.isTask() && p.exec != nil {
			list = append(list, Running{p.job, p.task, p.lease})
		}
	}
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Task, b.Task))
	})
	return list
}

// Unrecorded lists the tasks that have a journal and whose outcome is not recorded.
func (s *Space) Unrecorded() []Running {
	var list []Running
	for _, p := range s.parties {
		if p.isTask() {
			list = append(list, Running{p.job, p.task, p.lease})
		}
	}
	return list
}

// Clients lists the outside clients that hold something or wait, and the others that
// have not ended.
func (s *Space) Clients() []string {
	var list []string
	for _, p := range s.parties {
		if !p.isTask() {
			list = append(list, p.client)
		}
	}
	slices.Sort(list)
	return list
}
