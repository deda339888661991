package web

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/views"
)

// maxListed is how many lines of a file are listed as wrong.
const maxListed = 20

// readUpload makes inputs of an uploaded file, in the format that the form says.
func readUpload(file io.Reader, f *views.NewJobForm) (*jobs.Inputs, jobs.Invalid) {
	fail := func(format string, args ...any) jobs.Invalid {
		return jobs.Invalid{{Location: "inputs.file", Message: fmt.Sprintf(format, args...)}}
	}
	reader := bufio.NewReader(file)
	if mark, _ := reader.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // what some editors begin with
		_, _ = reader.Discard(3)
	}
	switch f.FileFormat {
	case views.FormatNDJSON:
		return readNDJSON(reader)
	case views.FormatCSV:
		return readCSV(reader, f.CSVColumn, f.CSVHeader != "")
	}
	// One byte more than is allowed is enough to be told about it.
	text, err := io.ReadAll(io.LimitReader(reader, jobs.MaxLinesBytes+1))
	if err != nil {
		return nil, fail("could not be read: %s", err)
	}
	lines := string(text)
	return &jobs.Inputs{Lines: &lines}, nil
}

func readNDJSON(file *bufio.Reader) (*jobs.Inputs, jobs.Invalid) {
	in := &jobs.Inputs{Items: []json.RawMessage{}}
	var wrong jobs.Invalid
	for number := 1; ; number++ {
		line, err := file.ReadBytes('\n')
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			at := tooDeep(trimmed)
			compact, message := jobs.CompactInput(trimmed)
			switch {
			case at >= 0:
				message = fmt.Sprintf("is nested more than %d levels deep", maxDepth)
			case message == "":
				in.Items = append(in.Items, compact)
			}
			if message != "" && len(wrong) < maxListed {
				wrong = append(wrong, jobs.Violation{Location: "inputs.file", Message: fmt.Sprintf("line %d %s", number, message)})
			}
		}
		if err != nil {
			if err != io.EOF {
				wrong = append(wrong, jobs.Violation{Location: "inputs.file", Message: "could not be read: " + err.Error()})
			}
			return in, wrong
		}
	}
}

// readCSV takes one column, by its name or its number counted from 1. Each cell
// is a text.
func readCSV(file io.Reader, column string, header bool) (*jobs.Inputs, jobs.Invalid) {
	fail := func(location, format string, args ...any) (*jobs.Inputs, jobs.Invalid) {
		return nil, jobs.Invalid{{Location: location, Message: fmt.Sprintf(format, args...)}}
	}
	column = strings.TrimSpace(column)
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	index := -1
	if n, err := strconv.Atoi(column); err == nil && n >= 1 {
		index = n - 1
	} else if !header {
		return fail("inputs.file", "the column must be a number from 1 on, as the first line names none")
	}
	in := &jobs.Inputs{Items: []json.RawMessage{}}
	var text strings.Builder
	oneLine := true // no cell has a line break, so the cells may be lines
	for row := 0; ; row++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail("inputs.file", "is not CSV: %s", err)
		}
		if row == 0 && header {
			if i := slices.Index(record, column); i >= 0 {
				index = i
			}
			if index < 0 || index >= len(record) {
				return fail("inputs.file", "has no column %q; its columns are %s", column, strings.Join(record, ", "))
			}
			continue
		}
		cell := ""
		if index < len(record) {
			cell = record[index]
		}
		oneLine = oneLine && !strings.ContainsAny(cell, "\r\n")
		if text.Len() > jobs.MaxLinesBytes {
			return fail("inputs.file", "has more than %d bytes in that column", jobs.MaxLinesBytes)
		}
		text.WriteString(cell)
		text.WriteByte('\n')
		if len(in.Items) <= jobs.MaxInlineItems {
			quoted, err := json.Marshal(cell)
			if err != nil {
				return fail("inputs.file", "line %d: %s", row+1, err)
			}
			in.Items = append(in.Items, quoted)
		}
	}
	if oneLine {
		lines := text.String()
		return &jobs.Inputs{Lines: &lines}, nil
	}
	return in, nil
}
