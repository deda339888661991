package frames_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/allcores/allcores/internal/jobs/engine/tasksocket/frames"
)

// TestRoundTrip checks that frames are read as they were written, one after the
// other.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func(most int) *rapid.Generator[string] {
			return rapid.Custom(func(t *rapid.T) string {
				return strings.Repeat("ä", rapid.IntRange(0, most/2).Draw(t, "length"))
			})
		}
		request := rapid.Custom(func(t *rapid.T) frames.Request {
			return frames.Request{
				ID: rapid.Uint32().Draw(t, "id"), Task: rapid.Int64Min(0).Draw(t, "task"),
				Op: text(255).Draw(t, "op"), Scope: text(65535).Draw(t, "scope"), Name: text(65535).Draw(t, "name"),
				Args: rapid.SliceOf(rapid.Byte()).Draw(t, "args"),
			}
		})
		want := rapid.SliceOf(request).Draw(t, "requests")
		var stream []byte
		for _, q := range want {
			stream = frames.AppendRequest(stream, q)
		}
		r := bufio.NewReader(bytes.NewReader(stream))
		for _, q := range want {
			if got, err := frames.ReadRequest(r); err != nil || !cmp.Equal(got, q) {
				t.Fatalf("%+v, %v, want %+v", got, err, q)
			}
		}
		if _, err := frames.ReadRequest(r); !errors.Is(err, io.EOF) {
			t.Fatalf("at the end: %v", err)
		}
		a := frames.Answer{ID: rapid.Uint32().Draw(t, "id"), Status: frames.Status(rapid.Byte().Draw(t, "status")), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")}
		if got, err := frames.ReadAnswer(bufio.NewReader(bytes.NewReader(frames.AppendAnswer(nil, a)))); err != nil || !cmp.Equal(got, a) {
			t.Fatalf("%+v, %v, want %+v", got, err, a)
		}
	})
}

// TestLayout checks the bytes that the documentation describes.
func TestLayout(t *testing.T) {
	t.Parallel()
	got := frames.AppendRequest(nil, frames.Request{ID: 7, Task: 258, Op: "add", Scope: "s", Name: "hits", Args: []byte(`{"amount":1}`)})
	want := "\x25\x00\x00\x00" + "\x07\x00\x00\x00" + "\x02\x01\x00\x00\x00\x00\x00\x00" + "\x03" + "\x01\x00" + "\x04\x00" + "addshits" + `{"amount":1}`
	if string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := frames.AppendAnswer(nil, frames.Answer{ID: 7, Body: []byte("3")}); string(got) != "\x06\x00\x00\x00"+"\x07\x00\x00\x00"+"\x003" {
		t.Errorf("answer %q", got)
	}
}

// TestTooLarge checks that a request past the bound is skipped, and the next one is
// read.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	fixed := 4 + 8 + 1 + 2 + 2 + len("put")
	most := make([]byte, frames.MaxRequest-fixed)
	stream := frames.AppendRequest(nil, frames.Request{ID: 1, Op: "put", Args: append(most, 0)})
	stream = frames.AppendRequest(stream, frames.Request{ID: 2, Op: "put", Args: most})
	r := bufio.NewReader(bytes.NewReader(stream))
	if q, err := frames.ReadRequest(r); !errors.Is(err, frames.ErrTooLarge) || q.ID != 1 {
		t.Errorf("%d, %v", q.ID, err)
	}
	if q, err := frames.ReadRequest(r); err != nil || q.ID != 2 || len(q.Args) != len(most) {
		t.Errorf("%d, %v", q.ID, err)
	}
}

// TestMalformed checks the errors of bytes that are no frame, or only its beginning.
func TestMalformed(t *testing.T) {
	t.Parallel()
	whole := frames.AppendRequest(nil, frames.Request{ID: 1, Op: "get", Name: "queue", Args: []byte("{}")})
	for n := 1; n < len(whole); n++ {
		if _, err := frames.ReadRequest(bufio.NewReader(bytes.NewReader(whole[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
	short := binary.LittleEndian.AppendUint32(nil, 16)
	long := bytes.Clone(whole)
	binary.LittleEndian.PutUint16(long[4+4+8+1+2:], 300)
	for what, stream := range map[string][]byte{"short": append(short, make([]byte, 16)...), "long name": long} {
		if _, err := frames.ReadRequest(bufio.NewReader(bytes.NewReader(stream))); !errors.Is(err, frames.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := frames.ReadAnswer(bufio.NewReader(bytes.NewReader(append(binary.LittleEndian.AppendUint32(nil, 4), make([]byte, 4)...)))); !errors.Is(err, frames.ErrMalformed) {
		t.Errorf("answer: %v", err)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(frames.AppendRequest(nil, frames.Request{ID: 1, Task: 2, Op: "put", Scope: "team", Name: "queue", Args: []byte(`{"item":1}`)}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		q, err := frames.ReadRequest(bufio.NewReader(bytes.NewReader(stream)))
		if err != nil {
			return
		}
		if again := frames.AppendRequest(nil, q); !bytes.HasPrefix(stream, again) {
			t.Errorf("%q is read as %q", stream, again)
		}
	})
}
