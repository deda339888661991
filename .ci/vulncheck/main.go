// Vulncheck scans the module of the working directory for known vulnerabilities
// that its code reaches. .ci/scan runs it.
//
//	vulncheck -db DIR -accepted FILE [patterns]
//
// It ends with status 1 and names each vulnerability that is reached and not in
// FILE, and each line of FILE that matches none. A line of FILE is an ID and
// the reason to accept it; "#" begins a comment.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/vuln/scan"
)

func main() {
	accepted := flag.String("accepted", "", "the `file` that names what is accepted, and why")
	db := flag.String("db", "", "the indexed database's `directory`")
	flag.Parse()
	problems, err := check(context.Background(), *db, *accepted, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(2)
	}
	for _, problem := range problems {
		fmt.Println(problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// check returns what is wrong: reached and not accepted, or accepted in vain.
func check(ctx context.Context, db, accepted string, patterns []string) ([]string, error) {
	text, err := os.ReadFile(accepted)
	if err != nil {
		return nil, err
	}
	reasons, err := parseAccepted(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", accepted, err)
	}
	var report bytes.Buffer
	args := append([]string{"-db", "file://" + filepath.ToSlash(db), "-format", "json"}, patterns...)
	cmd := scan.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &report, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	found, err := parseReport(&report)
	if err != nil {
		return nil, err
	}
	return judge(found, reasons), nil
}

// parseAccepted returns the reason by ID.
func parseAccepted(text string) (map[string]string, error) {
	reasons := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		id, reason, _ := strings.Cut(line, " ")
		if reason = strings.TrimSpace(reason); reason == "" {
			return nil, fmt.Errorf("line %d: %s has no reason", i+1, id)
		}
		reasons[id] = reason
	}
	return reasons, nil
}

// finding is a vulnerability that the code reaches.
type finding struct {
	id, summary, module, version, fixed, by string
}

// parseReport reads the scanner's JSON. Only a finding with a called function
// counts: for those of a package or a module alone, no call reaches the fault.
func parseReport(r io.Reader) (map[string]finding, error) {
	summaries, found := map[string]string{}, map[string]finding{}
	for decoder := json.NewDecoder(r); ; {
		var message struct {
			OSV *struct {
				ID      string `json:"id"`
				Summary string `json:"summary"`
			} `json:"osv"`
			Finding *struct {
				OSV   string `json:"osv"`
				Fixed string `json:"fixed_version"`
				Trace []struct {
					Module, Version, Package, Receiver, Function string
				} `json:"trace"`
			} `json:"finding"`
		}
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read the scanner's report: %w", err)
		}
		if o := message.OSV; o != nil {
			summaries[o.ID] = o.Summary
		}
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Function == "" {
			continue
		}
		at, by := f.Trace[0], f.Trace[len(f.Trace)-1]
		found[f.OSV] = finding{
			id: f.OSV, module: at.Module, version: at.Version, fixed: f.Fixed,
			by: strings.Join(slices.DeleteFunc([]string{by.Package, by.Receiver, by.Function}, func(s string) bool { return s == "" }), "."),
		}
	}
	for id, f := range found {
		f.summary = summaries[id]
		found[id] = f
	}
	return found, nil
}

// judge compares what was found with what is accepted.
func judge(found map[string]finding, reasons map[string]string) []string {
	var problems []string
	for id, f := range found {
		if reasons[id] == "" {
			fixed := "no fix yet"
			if f.fixed != "" {
				fixed = "fixed in " + f.fixed
			}
			problems = append(problems, fmt.Sprintf("%s: %s (%s@%s, %s), reached from %s",
				id, f.summary, f.module, f.version, fixed, f.by))
		}
	}
	for id := range reasons {
		if _, ok := found[id]; !ok {
			problems = append(problems, id+": accepted, but the code does not reach it: remove the line")
		}
	}
	slices.Sort(problems)
	return problems
}
