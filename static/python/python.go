// Package python holds the Python client: one file, joined from its parts in the
// folder allcores, and a wheel of it that pip installs. The server serves both, and
// the executor of Python programs gives tasks the same file.
//
// The parts share one namespace. They are joined in the order of their names:
// 00_head.py has the documentation of the module and all imports, 99_main.py
// runs the command line.
package python

import (
	"bytes"
	"embed"
	"fmt"
	"regexp"
	"sync"
)

//go:embed allcores/*.py
var parts embed.FS

// FileName is the name of the client's file.
const FileName = "allcores.py"

// Client returns the client's file. Callers must not change it.
var Client = sync.OnceValue(func() []byte {
	entries, err := parts.ReadDir("allcores") // sorted by name
	if err != nil {
		panic(err)
	}
	var all bytes.Buffer
	for _, entry := range entries {
		part, err := parts.ReadFile("allcores/" + entry.Name())
		if err != nil {
			panic(err)
		}
		all.Write(part)
	}
	return all.Bytes()
})

// versionLine matches the line of the client that states its version.
var versionLine = regexp.MustCompile(`(?m)^VERSION = "([0-9][0-9a-z.]*)"$`)

// Version returns the version that the client's file states.
var Version = sync.OnceValue(func() string {
	found := versionLine.FindAllSubmatch(Client(), -1)
	if len(found) != 1 {
		panic(fmt.Sprintf("static/python: %d lines state a VERSION", len(found)))
	}
	return string(found[0][1])
})
