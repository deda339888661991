package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A place is a directory of a mounted hierarchy of control groups.
type place struct {
	dir string
	v1  bool
}

// locate finds the group of this process in the hierarchy that has the memory
// controller, or might have it. root is the root of the file system.
func locate(root fs.FS) (place, error) {
	// Those of the process are of its first thread, which may be in another group for a
	// moment, see Group.Start.
	groups, err := fs.ReadFile(root, "proc/thread-self/cgroup")
	if err != nil {
		return place{}, fmt.Errorf("find own control group: %w", err)
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return place{}, fmt.Errorf("find control groups: %w", err)
	}
	group, v1 := ownGroup(string(groups))
	if group == "" {
		return place{}, errors.New("the kernel has no control groups for memory")
	}
	for line := range strings.Lines(string(mounts)) {
		m, ok := parseMount(line)
		if !ok || m.v1 != v1 || v1 && !slices.Contains(m.controllers, "memory") {
			continue
		}
		// A container may see only a part of the hierarchy.
		below, ok := strings.CutPrefix(group, strings.TrimSuffix(m.root, "/"))
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		return place{dir: path.Join(m.point, below), v1: v1}, nil
	}
	return place{}, fmt.Errorf("the control group %s is not mounted here", group)
}

// ownGroup finds, in the text of /proc/PID/cgroup, the group of version 1 that
// has the memory controller, else that of version 2.
func ownGroup(text string) (group string, v1 bool) {
	for line := range strings.Lines(text) {
		// hierarchy-ID:controller-list:cgroup-path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "/") || strings.HasPrefix(fields[2], "/..") {
			continue // a path that begins with /.. is outside the namespace
		}
		if slices.Contains(strings.Split(fields[1], ","), "memory") {
			return fields[2], true
		}
		if fields[0] == "0" && fields[1] == "" {
			group = fields[2]
		}
	}
	return group, false
}

// A mount is a line of /proc/PID/mountinfo about control groups, see
// proc_pid_mountinfo(5).
type mount struct {
	root, point string
	v1          bool
	controllers []string // of version 1, among other options
}

func parseMount(line string) (mount, bool) {
	front, back, ok := strings.Cut(line, " - ")
	fields, kind := strings.Fields(front), strings.Fields(back)
	if !ok || len(fields) < 5 || len(kind) < 3 || kind[0] != "cgroup" && kind[0] != "cgroup2" {
		return mount{}, false
	}
	return mount{
		root: unescape(fields[3]), point: unescape(fields[4]),
		v1: kind[0] == "cgroup", controllers: strings.Split(kind[2], ","),
	}, true
}

// unescape decodes the kernel's escapes of spaces and the like: \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// field returns the number after name in a file of lines "name number", or 0.
func field(text []byte, name string) int64 {
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
