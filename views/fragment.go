package views

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/a-h/templ"
)

// A Fragment is a part of a page that changes: one element with an id.
type Fragment struct {
	ID        string          // of the component's element
	Component templ.Component // exactly what stands in the page

	// Parts are fragments inside this one that may be sent instead of it as
	// long as Shape, which stands for all the rest of it, is the same.
	Parts []Fragment
	Shape string
}

// A Patcher turns the fragments of a page into what one stream must send. The
// zero value has sent nothing. It is not safe for concurrent use.
type Patcher struct {
	seed maphash.Seed
	sent map[string]uint64 // hash of what the browser has, by fragment id
}

// Patch renders what differs from what it returned before, everything at
// first. The answer is empty when nothing differs.
func (p *Patcher) Patch(ctx context.Context, fragments []Fragment) ([]byte, error) {
	if p.sent == nil {
		p.seed, p.sent = maphash.MakeSeed(), map[string]uint64{}
	}
	var out bytes.Buffer
	for _, f := range fragments {
		if err := p.patch(ctx, &out, f); err != nil {
			return nil, err
		}
	}
	// A carriage return would end a line of the stream.
	return bytes.ReplaceAll(out.Bytes(), []byte("\r"), []byte("&#13;")), nil
}

func (p *Patcher) patch(ctx context.Context, out *bytes.Buffer, f Fragment) error {
	if f.Parts == nil {
		text, fresh, err := p.render(ctx, f)
		if fresh && bytes.HasPrefix(text, []byte("<tr")) {
			// A row by itself is not HTML.
			text = slices.Concat([]byte("<table><tbody>"), text, []byte("</tbody></table>"))
		}
		if fresh {
			out.Write(text)
		}
		return err
	}
	shape := maphash.String(p.seed, f.Shape)
	if last, ok := p.sent[f.ID]; ok && last == shape {
		for _, part := range f.Parts {
			if err := p.patch(ctx, out, part); err != nil {
				return err
			}
		}
		return nil
	}
	p.sent[f.ID] = shape
	for _, part := range f.Parts { // they go out inside of f
		if err := p.patch(ctx, &bytes.Buffer{}, part); err != nil {
			return err
		}
	}
	if err := f.Component.Render(ctx, out); err != nil {
		return fmt.Errorf("fragment %s: %w", f.ID, err)
	}
	return nil
}

// render is the fragment's HTML and whether it differs from what was sent.
func (p *Patcher) render(ctx context.Context, f Fragment) (text []byte, fresh bool, err error) {
	var b bytes.Buffer
	if err := f.Component.Render(ctx, &b); err != nil {
		return nil, false, fmt.Errorf("fragment %s: %w", f.ID, err)
	}
	hash := maphash.Bytes(p.seed, b.Bytes())
	last, ok := p.sent[f.ID]
	p.sent[f.ID] = hash
	return b.Bytes(), !ok || last != hash, nil
}
