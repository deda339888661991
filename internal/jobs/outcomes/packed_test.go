package outcomes

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPackedInts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64(), 1, 100).Draw(t, "values")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		want, packed, last := "", []byte(nil), int64(0)
		for _, part := range [][]int64{values[:cut], values[cut:]} {
			var data []byte
			for _, v := range part {
				data = binary.LittleEndian.AppendUint64(data, uint64(v))
				want += strconv.FormatInt(v, 10) + "\n"
			}
			packed, last = PackInts(packed, last, data)
		}
		if !Packed(packed) || string(Text(packed)) != want {
			t.Fatalf("%q, want %q", Text(packed), want)
		}
		for i, line := range Lines(packed) {
			if string(line) != strconv.FormatInt(values[i], 10) || len(line)+1 > MaxNumberLine {
				t.Fatalf("line %d is %s", i, line)
			}
		}
		Text(packed[:rapid.IntRange(1, len(packed)).Draw(t, "length")]) // does not panic
	})
}

// TestPackedFloats checks that floats are written as Python writes them.
func TestPackedFloats(t *testing.T) {
	t.Parallel()
	values := []float64{
		0, math.Copysign(0, -1), 1, -3, 0.1, 1e-4, 9.999999999999999e-5, 1e-5, 123456789.125, 1e15, 9999999999999998,
		1e16, 1e21, 1e22, 1.7976931348623157e308, -2.2250738585072014e-308, 5e-324, 1.0 / 3,
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		if f := math.Float64frombits(random.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			values = append(values, f)
		}
		values = append(values, (random.Float64()-0.5)*math.Pow(10, float64(random.IntN(44)-22)), float64(random.IntN(1000)-500))
	}
	var data []byte
	for _, f := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(f))
	}
	packed, err := PackFloats(nil, data)
	if err != nil || !Packed(packed) {
		t.Fatal(err)
	}
	python := exec.Command("python3", "-c", "import sys, array\nfor f in array.array('d', sys.stdin.buffer.read()): print(repr(f))")
	python.Stdin = bytes.NewReader(data)
	want, err := python.Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(Text(packed)); text != string(want) {
		ours, theirs := strings.Split(text, "\n"), strings.Split(string(want), "\n")
		for i := range theirs {
			if i >= len(ours) || ours[i] != theirs[i] {
				t.Fatalf("of %d lines no. %d is %q, Python writes %q", len(ours), i, ours[min(i, len(ours)-1)], theirs[i])
			}
		}
	}
	for line := range strings.Lines(string(want)) {
		if len(line) > MaxNumberLine {
			t.Errorf("%d bytes: %s", len(line), line)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if _, err := PackFloats(nil, binary.LittleEndian.AppendUint64(data[:16:16], math.Float64bits(f))); err == nil {
			t.Errorf("%v was packed", f)
		}
	}
}

func TestPackedDurations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var codes []byte
		for range rapid.IntRange(0, 20).Draw(t, "stretches") {
			code := rapid.Uint16().Draw(t, "code")
			n := rapid.OneOf(rapid.IntRange(1, 5), rapid.Just(1<<16), rapid.Just(1<<16+1), rapid.IntRange(1, 200_000)).Draw(t, "tasks")
			for range n {
				codes = binary.LittleEndian.AppendUint16(codes, code)
			}
		}
		packed := PackDurations(slices.Clone(codes))
		if len(packed) > len(codes) || !bytes.Equal(UnpackDurations(packed, len(codes)/2), codes) {
			t.Fatalf("%d bytes packed of %d", len(packed), len(codes))
		}
	})
	same := bytes.Repeat([]byte{7, 9}, 100_000)
	if packed := PackDurations(same); len(packed) != 8 {
		t.Errorf("100,000 equal ones take %d bytes", len(packed))
	}
}
