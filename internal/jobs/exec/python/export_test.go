package python

// OnRead makes f be called before each frame of a process is read.
func (e *Executor) OnRead(f func()) { e.reading = f }
