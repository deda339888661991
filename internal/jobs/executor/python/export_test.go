package python

import "time"

// OnRead makes the server call f before it reads each frame of a process.
func (e *Executor) OnRead(f func()) { e.onRead = f }

// Bound sets how long a frame may take, how long a process may run none of its
// tasks, and how long past twice their timeout it may end none.
func (e *Executor) Bound(frame, stall, end time.Duration) { e.bounds = bounds{frame, stall, end} }
