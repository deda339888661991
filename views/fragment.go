package views

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/a-h/templ"
)

// A Fragment is a changing part of a page: one element with an id.
type Fragment struct {
	ID        string          // id of the component's element
	Component templ.Component // the same that the page renders

	// Parts are fragments inside this one. The stream may send them instead of
	// it while Shape, which represents the rest of it, stays the same.
	Parts []Fragment
	Shape string
}

// A Snapshot holds the fragments of a page at one time. It is immutable and
// safe for concurrent use: one snapshot serves all browsers that show the page.
type Snapshot struct {
	// Version starts at 1 and grows with each snapshot that differs.
	Version int64

	parts []part
}

// A part is a fragment of a snapshot.
type part struct {
	id      string
	version int64 // of the snapshot that last changed it; with parts, its shape
	html    []byte
	still   []byte // html without relative times, which the browser updates

	whole func() ([]byte, error) // html of a fragment with parts, rendered on demand
	shape string
	parts []part
}

// Snap renders the fragments. before is the previous snapshot, nil for the
// first. Snap returns before when nothing differs. It ignores relative times,
// because the browser updates them.
func Snap(ctx context.Context, before *Snapshot, fragments []Fragment) (*Snapshot, error) {
	if before == nil {
		before = new(Snapshot)
	}
	s := &Snapshot{Version: before.Version + 1}
	var differs bool
	var err error
	if s.parts, differs, err = snap(ctx, before.parts, fragments, s.Version); err != nil {
		return nil, err
	}
	if !differs && before.Version > 0 {
		return before, nil
	}
	return s, nil
}

func snap(ctx context.Context, before []part, fragments []Fragment, version int64) (parts []part, differs bool, err error) {
	had := make(map[string]*part, len(before))
	for i := range before {
		had[before[i].id] = &before[i]
	}
	parts = make([]part, len(fragments))
	for i, f := range fragments {
		p, old := &parts[i], had[f.ID]
		*p = part{id: f.ID, version: version}
		if f.Parts == nil {
			if p.html, err = renderFragment(ctx, f); err != nil {
				return nil, false, err
			}
			p.still = withoutTimes(p.html)
			if old != nil && old.parts == nil && bytes.Equal(old.still, p.still) {
				*p = *old
			}
		} else {
			p.whole = sync.OnceValues(func() ([]byte, error) { return renderFragment(context.WithoutCancel(ctx), f) })
			p.shape = f.Shape
			var inside []part
			if old != nil {
				inside = old.parts
			}
			var differsInside bool
			if p.parts, differsInside, err = snap(ctx, inside, f.Parts, version); err != nil {
				return nil, false, err
			}
			differs = differs || differsInside
			if old != nil && old.parts != nil && old.shape == f.Shape {
				p.version = old.version
			}
		}
		differs = differs || p.version == version
	}
	return parts, differs, nil
}

func renderFragment(ctx context.Context, f Fragment) ([]byte, error) {
	var b bytes.Buffer
	if err := f.Component.Render(ctx, &b); err != nil {
		return nil, fmt.Errorf("fragment %s: %w", f.ID, err)
	}
	// A carriage return would end a line of the stream.
	return bytes.ReplaceAll(b.Bytes(), []byte("\r"), []byte("&#13;")), nil
}

// withoutTimes removes the text of relative times from html.
func withoutTimes(html []byte) []byte {
	out := make([]byte, 0, len(html))
	for {
		at := bytes.Index(html, []byte(` data-tick="`))
		if at < 0 {
			return append(out, html...)
		}
		begin := at + bytes.IndexByte(html[at:], '>')
		end := begin + bytes.IndexByte(html[begin:], '<')
		out = append(out, html[:begin]...)
		html = html[end:]
	}
}

// Since returns the HTML of the fragments that changed after a version, or all
// of them for version 0.
func (s *Snapshot) Since(version int64) ([]byte, error) {
	var out bytes.Buffer
	err := since(&out, s.parts, version)
	return out.Bytes(), err
}

func since(out *bytes.Buffer, parts []part, version int64) error {
	for _, p := range parts {
		switch {
		case p.whole != nil && p.version <= version:
			if err := since(out, p.parts, version); err != nil {
				return err
			}
		case p.whole != nil:
			html, err := p.whole()
			if err != nil {
				return err
			}
			out.Write(html)
		case p.version <= version:
		case bytes.HasPrefix(p.html, []byte("<tr")):
			// A table row alone is not valid HTML.
			out.WriteString("<table><tbody>")
			out.Write(p.html)
			out.WriteString("</tbody></table>")
		default:
			out.Write(p.html)
		}
	}
	return nil
}
