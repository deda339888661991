package outcomes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
)

// Outputs that are all numbers of one type may be packed: a mark, with
// which no line begins, and then
//
//	packedInts    the difference of each from the one before it, the first one's
//	              from 0, modulo 2^64, as a varint of encoding/binary
//	packedFloats  each as IEEE 754 binary64, little endian
//
// Outputs that are all of cancelled tasks are the mark packedCancelled and their
// number as a varint.
//
// They take a fraction of their text on the network, in the database's log and on
// disk. [Text] and [Lines] return the same lines as before, byte for byte.
const (
	packedInts      = 0x01
	packedFloats    = 0x02
	packedCancelled = 0x03
)

// MaxPacked is the most tasks of packed Outputs. Their text is then at most
// 1.6 MiB.
const MaxPacked = 1 << 16

// MaxNumberLine is the longest line of a number that was packed, in bytes.
const MaxNumberLine = 25

var errNotFinite = errors.New("a float is not finite")

// PackInts appends int64s, given in 8 bytes each, little endian, to packed or empty
// Outputs. last is the number before the first of them, 0 for none. It returns the
// last of them too.
func PackInts(dst []byte, last int64, ints []byte) ([]byte, int64) {
	if len(dst) == 0 {
		dst = append(dst, packedInts)
	}
	for ; len(ints) >= 8; ints = ints[8:] {
		n := int64(binary.LittleEndian.Uint64(ints))
		dst = binary.AppendVarint(dst, n-last)
		last = n
	}
	return dst, last
}

// PackFloats appends float64s, given in 8 bytes each, little endian, to packed or
// empty Outputs. It fails for one that is not finite, which JSON cannot express.
func PackFloats(dst, floats []byte) ([]byte, error) {
	for i := 0; i+8 <= len(floats); i += 8 {
		if binary.LittleEndian.Uint64(floats[i:])>>52&0x7ff == 0x7ff {
			return dst, errNotFinite
		}
	}
	if len(dst) == 0 {
		dst = append(dst, packedFloats)
	}
	return append(dst, floats[:len(floats)&^7]...), nil
}

// Cancelled returns the Outputs of n cancelled tasks, at most MaxPacked.
func Cancelled(n int) []byte { return binary.AppendUvarint([]byte{packedCancelled}, uint64(n)) }

// Packed reports whether Outputs are packed.
func Packed(outputs []byte) bool {
	return len(outputs) > 0 && outputs[0] >= packedInts && outputs[0] <= packedCancelled
}

// Text returns the lines of Outputs: outputs itself unless they are packed.
func Text(outputs []byte) []byte {
	if !Packed(outputs) {
		return outputs
	}
	return unpack(outputs, math.MaxInt)
}

// unpack returns the first lines, at most n, of packed Outputs.
func unpack(outputs []byte, n int) []byte {
	data := outputs[1:]
	var text []byte
	if outputs[0] == packedCancelled {
		count, _ := binary.Uvarint(data)
		return bytes.Repeat([]byte{cancelMark, '\n'}, min(n, int(min(count, MaxPacked))))
	}
	if outputs[0] == packedFloats {
		n = min(n, len(data)/8)
		text = make([]byte, 0, 20*n)
		for i := range n {
			text = appendFloat(text, math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:])))
			text = append(text, '\n')
		}
		return text
	}
	text = make([]byte, 0, 4*len(data))
	var last int64
	for ; n > 0 && len(data) > 0; n-- {
		difference, size := binary.Varint(data)
		if size <= 0 {
			break // cut off
		}
		data = data[size:]
		last += difference
		text = strconv.AppendInt(text, last, 10)
		text = append(text, '\n')
	}
	return text
}

// appendFloat appends a finite float as Python writes it (float.__repr__, format
// 'r' of PyOS_double_to_string): the shortest digits that parse to the same float,
// always with a point or an exponent.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	for _, c := range dst[from:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

// PackDurations returns duration codes (see Encoded.Durations) as pairs of 16 bits,
// little endian: the number of tasks minus one, and their code. Where that is not
// shorter it returns the codes themselves; [UnpackDurations] distinguishes them by
// the length.
func PackDurations(codes []byte) []byte {
	var packed []byte
	for i := 0; i+1 < len(codes); {
		n := 1
		for n <= math.MaxUint16 && i+2*n+1 < len(codes) && codes[i+2*n] == codes[i] && codes[i+2*n+1] == codes[i+1] {
			n++
		}
		if len(packed)+4 >= len(codes) {
			return codes
		}
		packed = binary.LittleEndian.AppendUint16(packed, uint16(n-1))
		packed = append(packed, codes[i], codes[i+1])
		i += 2 * n
	}
	return packed
}

// UnpackDurations returns the duration codes of count tasks.
func UnpackDurations(packed []byte, count int) []byte {
	if len(packed) >= 2*count {
		return packed
	}
	codes := make([]byte, 0, 2*count)
	for ; len(packed) >= 4; packed = packed[4:] {
		for n := min(int(binary.LittleEndian.Uint16(packed))+1, count-len(codes)/2); n > 0; n-- {
			codes = append(codes, packed[2], packed[3])
		}
	}
	return codes
}
