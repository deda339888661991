package http_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
)

func hashOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	data := strings.Repeat("0123456789abcdef", 1<<17) + "." // 2 MiB and a byte
	url := "/api/v1/blobs/" + hashOf(data)
	if a := s.call("HEAD", url, ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("HEAD before: %d", a.StatusCode)
	}
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		if a := s.call("PUT", url, data); a.StatusCode != want || !strings.Contains(a.text, hashOf(data)) {
			t.Errorf("PUT: %d %s, want %d", a.StatusCode, a.text, want)
		}
	}
	if a := s.call("HEAD", url, ""); a.StatusCode != http.StatusOK || a.ContentLength != int64(len(data)) {
		t.Errorf("HEAD: %d with %d bytes", a.StatusCode, a.ContentLength)
	}
	if a := s.get(url); a.StatusCode != http.StatusOK || a.text != data || a.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("GET: %d with %d bytes", a.StatusCode, len(a.text))
	}
	if a := s.call("PUT", "/api/v1/blobs/"+hashOf("a"), "b"); a.StatusCode != http.StatusUnprocessableEntity ||
		!strings.Contains(a.text, hashOf("a")) || !strings.Contains(a.text, hashOf("b")) {
		t.Errorf("other bytes: %d %s", a.StatusCode, a.text)
	}
	for _, name := range []string{"short", strings.ToUpper(hashOf(data)), strings.Repeat("g", 64)} {
		if a := s.call("PUT", "/api/v1/blobs/"+name, data); a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.text, "path.sha256") {
			t.Errorf("PUT %s: %d %s", name, a.StatusCode, a.text)
		}
	}
}

func TestBlobsOfJobs(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	job := s.submit(program(squares, `{"open": true}`, "")).ID
	url := "/api/v1/blobs/" + hashOf("a")
	other, viewer := s.user("ann", jobs.Submitter), s.user("vic", jobs.Viewer)
	if a := s.call("PUT", url+"?job="+job, "a"); a.StatusCode != http.StatusCreated {
		t.Fatalf("PUT: %d %s", a.StatusCode, a.text)
	}
	for what, call := range map[string]struct {
		method, url, body, token string
		want                     int
	}{
		"a job that does not exist":  {"PUT", url + "?job=" + s.node, "a", adminToken, http.StatusNotFound},
		"another's job":              {"PUT", url + "?job=" + job, "a", other, http.StatusNotFound},
		"another's blob":             {"GET", url, "", other, http.StatusNotFound},
		"upload by a viewer":         {"PUT", url, "a", viewer, http.StatusForbidden},
		"reading by a viewer":        {"GET", url, "", viewer, http.StatusOK},
		"references by a viewer":     {"POST", "/api/v1/jobs/" + job + "/blobs", `{"sha256":[]}`, viewer, http.StatusForbidden},
		"references of another's":    {"POST", "/api/v1/jobs/" + job + "/blobs", `{"sha256":[]}`, other, http.StatusNotFound},
		"references without hashes":  {"POST", "/api/v1/jobs/" + job + "/blobs", `{}`, adminToken, http.StatusUnprocessableEntity},
		"references of what is none": {"POST", "/api/v1/jobs/" + job + "/blobs", `{"sha256":["x"]}`, adminToken, http.StatusUnprocessableEntity},
	} {
		if a := s.call(call.method, call.url, call.body, "Authorization", "Bearer "+call.token, "Content-Type", "application/json"); a.StatusCode != call.want {
			t.Errorf("%s: %d %s, want %d", what, a.StatusCode, a.text, call.want)
		}
	}
	a := s.call("POST", "/api/v1/jobs/"+job+"/blobs", fmt.Sprintf(`{"sha256":[%q,%q]}`, hashOf("b"), hashOf("a")))
	if want := fmt.Sprintf(`{"missing":[%q]}`, hashOf("b")); a.StatusCode != http.StatusOK || strings.TrimSpace(a.text) != want {
		t.Errorf("references: %d %s, want %s", a.StatusCode, a.text, want)
	}
}

// zeros is a body of so many zero bytes.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

func TestBlobsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/blobs/"+hashOf(""), &zeros{1<<30 + 1})
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 1<<30 + 1
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Expect", "100-continue") // the body is not sent
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, _ := io.ReadAll(a.Body)
	if a.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(text, []byte("1024 MiB")) {
		t.Errorf("%d %s", a.StatusCode, text)
	}
}

// TestInterruptedUploadLeavesNothing breaks an upload off, and looks for what it may
// have left in the database and in the directory for temporary files.
func TestInterruptedUploadLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := serve(t, true)
	body, feed := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.url+"/api/v1/blobs/"+hashOf(""), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	done := make(chan error, 1)
	go func() {
		a, err := http.DefaultClient.Do(r)
		if err == nil {
			a.Body.Close()
		}
		done <- err
	}()
	for range 3 {
		if _, err := feed.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	feed.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-done; err == nil {
		t.Error("the broken request was answered")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		var blobs int
		if err := s.store.Pool.QueryRow(t.Context(), `select count(*) from blobs`).Scan(&blobs); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(os.TempDir(), "allcores-blob-*"))
		if blobs == 0 && len(files) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d blobs and the files %v are left", blobs, files)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
