package views

import (
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/allcores/allcores/internal/jobs"
)

func TestBars(t *testing.T) {
	for _, c := range []jobs.Counts{
		{},
		{Total: 1, Waiting: 1},
		{Total: 1, Succeeded: 1},
		{Total: 3, Failed: 3},
		{Total: 1_000_000_000, Succeeded: 999_999_998, Failed: 1, Running: 1},
		{Total: 1_000_000, Succeeded: 1, Failed: 1, Running: 1, Cancelled: 1, Waiting: 999_996},
		{Total: 4, Succeeded: 1, Failed: 1, Running: 1, Cancelled: 1},
		{Total: 100_000, Running: 42_618, Waiting: 57_382},
	} {
		for _, big := range []bool{false, true} {
			x := 0
			for _, s := range segments(&jobs.Job{Counts: c, Executing: min(c.Running, 1)}, big) {
				n := map[string]int64{"s": c.Succeeded, "f": c.Failed, "c": c.Cancelled, "r": min(c.Running, 1), "k": max(c.Running-1, 0)}[s.class]
				if s.x != x || s.width < 0 || (s.width > 0) != (n > 0) {
					t.Errorf("%+v: segment %+v begins at %d", c, s, x)
				}
				x += s.width
			}
			if full := c.Total > 0 && c.Waiting == 0; full != (x == barWidth) || x > barWidth {
				t.Errorf("%+v fills %d of %d", c, x, barWidth)
			}
		}
	}
}

func TestStrip(t *testing.T) {
	for total, size := range map[int64]int64{0: 1, 1: 1, 400: 1, 401: 2, 1_000_000: 2500, 1_000_001: 2501} {
		if got := CellSize(total); got != size {
			t.Errorf("CellSize(%d) = %d, want %d", total, got, size)
		}
	}
	p := JobPage{Job: jobs.Job{Counts: jobs.Counts{Total: 801}}}
	p.Cells = []Cell{{}, {Succeeded: 3}, {Succeeded: 2}, {Succeeded: 1, Running: 1}, {Running: 1, Failed: 2, FirstFailed: 13}, {Cancelled: 3}, {Failed: 1}}
	for len(p.Cells) < 266 {
		p.Cells = append(p.Cells, Cell{})
	}
	p.Cells = append(p.Cells, Cell{Succeeded: 3})
	if got := cellLetters(p); got[:7] != "wsprfcf" || got[266] != 's' {
		t.Errorf("letters are %.10s…%s", got, got[260:])
	}
	if got, want := mixedCells(p), "2:2/0/0/0@6,3:1/0/1/0@9,4:0/2/1/0@13,6:0/1/0/0@18"; got != want {
		t.Errorf("mixed cells are %q, want %q", got, want)
	}
	// The parts fill each cell from 1 to 9 without overlap, and every state
	// stays visible.
	p.Cells[5] = Cell{Succeeded: 2, Failed: 1, FirstFailed: 15}
	rects := regexp.MustCompile(`M(\d+) ([\d.]+)h8v([\d.]+)h-8z`)
	filled, states := make(map[int]float64), make(map[int]string)
	for _, b := range stripBlocks(p) {
		for _, path := range b.paths {
			for _, m := range rects.FindAllStringSubmatch(path.d, -1) {
				x, _ := strconv.Atoi(m[1])
				y, _ := strconv.ParseFloat(m[2], 64)
				height, _ := strconv.ParseFloat(m[3], 64)
				cell := b.first + x/10
				if filled[cell] += height; height < 0.75 || y < 1 || y+height > 9.01 {
					t.Errorf("cell %d: %s", cell, m[0])
				}
				states[cell] += path.class
				if path.class == "f" && cell == 5 && height > 5 {
					t.Errorf("a failure of three takes %g of 8", height)
				}
			}
		}
	}
	if len(filled) != len(p.Cells) || states[5] != "sf" || states[3] != "swk" || states[0] != "w" {
		t.Errorf("%d cells are drawn, want %d: %v", len(filled), len(p.Cells), states)
	}
	for cell, height := range filled {
		if math.Abs(height-8) > 0.11 {
			t.Errorf("cell %d is filled by %g of 8", cell, height)
		}
	}
	// A single failure of 2,500 is visible, but far from filling the cell.
	one := Cell{Succeeded: 2499, Failed: 1}.parts(2500)
	if len(one) != 2 || one[0].class != 'f' || one[0].height < 1.5 || one[0].height > 2.5 {
		t.Errorf("%+v", one)
	}
}
