package jobs

import (
	"strconv"
)

// ByteSize formats a number of bytes for people, in powers of 1024.
func ByteSize(n int64) string { return FloatByteSize(float64(n)) }

// FloatByteSize formats a number of bytes for people, in powers of 1024.
func FloatByteSize(bytes float64) string {
	unit := 0
	for bytes >= 1023.5 && unit < 4 {
		bytes /= 1024
		unit++
	}
	text := strconv.FormatFloat(bytes, 'f', 0, 64)
	if unit > 0 && bytes < 99.95 {
		text = strconv.FormatFloat(bytes, 'f', 1, 64)
	}
	return text + " " + []string{"bytes", "KiB", "MiB", "GiB", "TiB"}[unit]
}
