package pglocal

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// settings returns the server's command line settings. They suit a machine whose cores
// and memory are for the tasks: many small commits, bulk writes, short indexed reads,
// no analytical queries. Commits are durable.
func settings(extra map[string]string) []string {
	ram := memory()
	all := map[string]string{
		"max_connections":      "200",
		"shared_buffers":       megabytes(min(max(ram/16, 32<<20), 256<<20)),
		"effective_cache_size": megabytes(max(ram/2, 64<<20)),
		"work_mem":             "8MB",
		"maintenance_work_mem": "64MB",

		"fsync":              "on",
		"synchronous_commit": "on",
		// At minimal, a sequence that was used in the transaction that created it
		// restarts after a crash: its values are not logged then, but the next 32
		// count as if they had been.
		"wal_level":                    "replica",
		"max_wal_senders":              "0",
		"wal_buffers":                  "16MB",
		"wal_compression":              "off", // the inputs' and outputs' bulk is not worth a core
		"min_wal_size":                 "256MB",
		"max_wal_size":                 "512MB", // replayed after a crash in about 3 s
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
		// A table's bloat is what accumulates between two rounds of vacuuming. A round
		// without work costs next to nothing.
		"autovacuum_naptime": "10s",

		"jit":                             "off",
		"max_parallel_workers_per_gather": "0", // the cores are for the tasks
		"random_page_cost":                "1.1",

		"timezone":     "UTC",
		"log_timezone": "UTC",
		"lc_messages":  "C", // Start reads them
		// The client reports errors of statements. In the server's log they would leak
		// inputs and grow without bound.
		"log_min_messages":        "log",
		"log_min_error_statement": "panic",
		"log_checkpoints":         "off",
		"logging_collector":       "off",
	}
	maps.Copy(all, extra)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-c", name+"="+all[name])
	}
	return args
}

func megabytes(n int64) string { return fmt.Sprintf("%dMB", n>>20) }

// memory returns the bytes of memory that this process may use, as Linux reports them.
// On other systems it assumes 2 GiB.
func memory() int64 {
	ram := int64(2 << 30)
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range bytes.Lines(data) {
			if f := strings.Fields(string(line)); len(f) >= 2 && f[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					ram = kib << 10
				}
				break
			}
		}
	}
	if data, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil {
			ram = min(ram, limit)
		}
	}
	return ram
}
