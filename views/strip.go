package views

import (
	"fmt"
	"strings"
)

// stripColumns is how many cells stand in one drawing of the strip. Wide
// windows show two drawings side by side, narrow ones one.
const stripColumns = 50

// A stripBlock is one drawing: a row of cells from first on.
type stripBlock struct {
	first int
	paths []stripPath
}

// A stripPath draws all cells of one class: far fewer bytes than an element a
// cell.
type stripPath struct{ class, d string }

// letter tells a cell's state: what needs attention comes first.
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

// cellLetters is one letter a cell.
func cellLetters(p JobPage) string {
	size, total := CellSize(p.Job.Counts.Total), p.Job.Counts.Total
	letters := make([]byte, len(p.Cells))
	for i, c := range p.Cells {
		letters[i] = c.letter(min(size, total-int64(i)*size))
	}
	return string(letters)
}

// cellFailures lists the cells with failures as cell:count@first.
func cellFailures(p JobPage) string {
	size := CellSize(p.Job.Counts.Total)
	var b strings.Builder
	for i, c := range p.Cells {
		if c.Failed == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d:%d@%d", i, c.Failed, max(c.FirstFailed, int64(i)*size))
	}
	return b.String()
}

func stripBlocks(p JobPage) []stripBlock {
	letters := cellLetters(p)
	var blocks []stripBlock
	for first := 0; first < len(letters); first += stripColumns {
		row := letters[first:min(first+stripColumns, len(letters))]
		block := stripBlock{first: first}
		for _, class := range "swrpfc" {
			var d strings.Builder
			for i := range len(row) {
				if rune(row[i]) == class {
					fmt.Fprintf(&d, "M%d 1h8v8h-8z", 10*i+1)
				}
			}
			if d.Len() > 0 {
				block.paths = append(block.paths, stripPath{string(class), d.String()})
			}
		}
		blocks = append(blocks, block)
	}
	return blocks
}
