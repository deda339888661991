package python

import (
	"os"
	"testing"
)

// TestCutMemory checks that a process that truncates the shared file does not crash
// this program: the file is sealed, or read without a mapping where it cannot be
// sealed.
func TestCutMemory(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{true, false} {
		c, err := newSharedMemory(4)
		if err != nil {
			t.Fatal(err)
		}
		if !sealed {
			if c.file, err = os.CreateTemp(t.TempDir(), ""); err == nil {
				err = c.file.Truncate(int64(c.size))
			}
			if err != nil {
				t.Fatal(err)
			}
			c.memory = nil
		}
		c.store(wordHigh, 42)
		c.store(wordUnsent, 1<<40)
		if high := c.load(wordHigh); high != 42 {
			t.Errorf("sealed %v: the word has %d, want 42", sealed, high)
		}
		for _, size := range []int64{0, 1 << 30} {
			if err := c.file.Truncate(size); (err == nil) == sealed {
				t.Errorf("sealed %v: truncate to %d: %v", sealed, size, err)
			}
			c.store(wordHigh, 43)
			c.load(wordMark + 3*markStep)
			if c.unsent(0); c.trace() != "" {
				t.Errorf("sealed %v: a trace of nothing", sealed)
			}
		}
		c.close()
	}
}
