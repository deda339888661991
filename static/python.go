package static

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/allcores/allcores/static/python"
)

// PythonPrefix is the path below which the Python client is served. A page there
// links its file and its wheel, in the form in which pip's --find-links reads it.
const PythonPrefix = Prefix + "python/"

// PythonClient returns the file of the Python client. Callers must not change it.
func PythonClient() []byte { return python.Client() }

// PythonClientURL returns the address of the Python client's file.
func PythonClientURL() string { return PythonPrefix + python.FileName }

// PythonWheelURL returns the address of the Python client's wheel.
func PythonWheelURL() string { return PythonPrefix + python.WheelName() }

// addPython adds the Python client. Its addresses stay when it changes, so caches
// must ask each time whether it did.
func (s *set) addPython() {
	index := `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Allcores for Python</title></head>
<body><h1>Allcores for Python</h1>
<ul>
<li><a href="` + python.FileName + `">` + python.FileName + `</a></li>
<li><a href="` + python.WheelName() + `" data-requires-python="&gt;=3.8">` + python.WheelName() + `</a></li>
</ul></body></html>
`
	s.addFixed(PythonPrefix, "text/html; charset=utf-8", []byte(index), compress([]byte(index)))
	// As plain text, a browser shows the file instead of saving it.
	s.addFixed(PythonClientURL(), "text/plain; charset=utf-8", python.Client(), compress(python.Client()))
	s.addFixed(PythonWheelURL(), "application/zip", python.Wheel(), nil)
}

// addFixed adds content at an address that stays when the content changes.
func (s *set) addFixed(url, mime string, content, zipped []byte) {
	sum := sha256.Sum256(content)
	hash := hex.EncodeToString(sum[:16])
	s.byURL[url] = &file{
		url:   url,
		mime:  mime,
		plain: variant{`"` + hash + `"`, content},
		zip:   variant{`"` + hash + `-gzip"`, zipped},
		cache: "public, no-cache",
	}
}
