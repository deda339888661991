package python

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"
)

// WheelName returns the file name of the wheel, which pip requires to have this form.
func WheelName() string { return "allcores-" + Version() + "-py3-none-any.whl" }

// Wheel returns the client as a wheel (PEP 427). The same client gives the same
// bytes. Callers must not change them.
var Wheel = sync.OnceValue(func() []byte {
	info := "allcores-" + Version() + ".dist-info/"
	members := []struct{ name, text string }{
		{FileName, string(Client())},
		{info + "METADATA", metadata()},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: allcores (" + Version() + ")\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\nallcores = allcores:main\n"},
		{info + "top_level.txt", "allcores\n"},
	}
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	var record strings.Builder
	for _, m := range members {
		addMember(archive, m.name, m.text)
		sum := sha256.Sum256([]byte(m.text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", m.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(m.text))
	}
	record.WriteString(info + "RECORD,,\n") // without its own hash
	addMember(archive, info+"RECORD", record.String())
	if err := archive.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
})

// metadata returns the wheel's core metadata.
func metadata() string {
	summary, _, _ := strings.Cut(strings.TrimPrefix(string(Client()), `"""`), "\n")
	return "Metadata-Version: 2.1\nName: allcores\nVersion: " + Version() + "\nSummary: " + strings.TrimSuffix(summary, ".") +
		"\nLicense: Apache-2.0\nRequires-Python: >=3.8\n"
}

// addMember adds a file to the archive, dated to the first day that zip can express.
func addMember(archive *zip.Writer, name, text string) {
	header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o644)
	w, err := archive.CreateHeader(header)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
}
