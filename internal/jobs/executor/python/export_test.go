package python

import "time"

// OnRead makes f be called before each frame of a process is read.
func (e *Executor) OnRead(f func()) { e.onRead = f }

// Bound sets how long a frame may take, how long a process may run none of its
// tasks, and how long past twice their timeout it may end none.
func (e *Executor) Bound(frame, stall, end time.Duration) { e.bounds = bounds{frame, stall, end} }
