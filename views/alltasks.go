package views

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// stripColumns counts the cells in one drawing of the strip. Wide windows show
// two drawings side by side, narrow ones one.
const stripColumns = 50

// A stripBlock is one drawing: a row of cells that begins with cell first.
type stripBlock struct {
	first int
	paths []stripPath
}

// A stripPath draws all cells of one class, in far fewer bytes than one element
// per cell.
type stripPath struct{ class, d string }

// letter returns the letter of a cell's most urgent state.
func (c Cell) letter(tasks int64) byte {
	done := c.Succeeded + c.Failed + c.Cancelled
	switch {
	case c.Failed > 0:
		return 'f'
	case c.Running > 0:
		return 'r'
	case c.Cancelled > 0 && done >= tasks:
		return 'c'
	case done >= tasks:
		return 's'
	case done > 0:
		return 'p'
	}
	return 'w'
}

// cellLetters returns one letter per cell.
func cellLetters(p JobPage) string {
	size, total := CellSize(p.Job.Counts.Total), p.Job.Counts.Total
	letters := make([]byte, len(p.Cells))
	for i, c := range p.Cells {
		letters[i] = c.letter(min(size, total-int64(i)*size))
	}
	return string(letters)
}

// mixedCells lists the cells whose tasks differ in state, as
// cell:succeeded/failed/claimed/cancelled@first failed.
func mixedCells(p JobPage) string {
	size, total := CellSize(p.Job.Counts.Total), p.Job.Counts.Total
	var b strings.Builder
	for i, c := range p.Cells {
		first := int64(i) * size
		if len(c.parts(min(size, total-first))) < 2 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d/%d/%d/%d@%d", i, c.Succeeded, c.Failed, c.Running, c.Cancelled, max(c.FirstFailed, first))
	}
	return b.String()
}

// A cellPart is the share of a cell's tasks that have one state.
type cellPart struct {
	class  byte
	tasks  int64
	height float64
}

// Measures of a cell. The least heights make each part visible, failures most
// of all, but let none fill the cell.
const (
	cellHeight = 8.0
	leastPart  = 0.8
	leastFail  = 2.0
)

// parts returns the states of a cell's tasks from the top down, failures first.
func (c Cell) parts(tasks int64) []cellPart {
	waiting := tasks - c.Succeeded - c.Failed - c.Running - c.Cancelled
	var parts []cellPart
	room := cellHeight
	for _, part := range []cellPart{
		{'f', c.Failed, leastFail}, {'c', c.Cancelled, leastPart}, {'w', waiting, leastPart}, {'k', c.Running, leastPart}, {'s', c.Succeeded, leastPart},
	} {
		if part.tasks > 0 {
			parts = append(parts, part)
			room -= part.height
		}
	}
	for i := range parts {
		parts[i].height += room * float64(parts[i].tasks) / float64(max(tasks, 1))
	}
	return parts
}

func stripBlocks(p JobPage) []stripBlock {
	size, total := CellSize(p.Job.Counts.Total), p.Job.Counts.Total
	var blocks []stripBlock
	for first := 0; first < len(p.Cells); first += stripColumns {
		drawn := make(map[byte]*strings.Builder)
		for i, cell := range p.Cells[first:min(first+stripColumns, len(p.Cells))] {
			y := 1.0
			for _, part := range cell.parts(min(size, total-int64(first+i)*size)) {
				d := drawn[part.class]
				if d == nil {
					d = new(strings.Builder)
					drawn[part.class] = d
				}
				fmt.Fprintf(d, "M%d %sh8v%sh-8z", 10*i+1, tenths(y), tenths(y+part.height-tenth(y)))
				y += part.height
			}
		}
		block := stripBlock{first: first}
		for _, class := range []byte("swkfc") {
			if d := drawn[class]; d != nil {
				block.paths = append(block.paths, stripPath{string(class), d.String()})
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// tenth rounds v to a tenth.
func tenth(v float64) float64 { return math.Round(10*v) / 10 }

func tenths(v float64) string { return strconv.FormatFloat(tenth(v), 'f', -1, 64) }
