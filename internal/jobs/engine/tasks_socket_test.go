package engine_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/store"
)

// TestTasksReachTheirNode has Python tasks and commands exchange blobs with their node
// over its socket, several jobs in one process too.
func TestTasksReachTheirNode(t *testing.T) {
	t.Parallel()
	n := startReal(t, template.New(t))
	const source = `import allcores, os, threading
head = allcores._task_get(%q)
def f(x):
    if x < 2:
        sha = allcores._task_put(b"%%d" %% x * 700000)
        assert len(allcores._task_get(sha)) == 700000
    assert allcores._task_job() == os.environ["ALLCORES_JOB"]
    assert allcores._task_index() == x
    try:
        allcores._task_get("0" * 64)
    except allcores.ApiError as e:
        return [head.decode(), e.status]
`
	given := []byte("given")
	hash := jobs.BlobHash(sha256.Sum256(given))
	if _, err := n.store.PutBlob(t.Context(), store.BlobUpload{Hash: hash, User: n.admin.ID, Body: bytes.NewReader(given)}); err != nil {
		t.Fatal(err)
	}
	for threads := 1; threads <= 2; threads++ {
		id := n.submit(t, jobs.Spec{
			Program: jobs.Program{Python: &jobs.Python{Source: fmt.Sprintf(source, hash), Function: "f"}},
			Inputs:  jobs.Inputs{Range: &jobs.Range{Stop: 4, Step: 1}}, Policy: jobs.Policy{Threads: &threads},
		})
		if j := n.end(t, id, time.Minute); j.State != jobs.Succeeded {
			t.Fatalf("%d threads: %s %v", threads, j.State, n.outputs(t, id))
		}
		for i, output := range n.outputs(t, id) {
			if output != `["given",404]` {
				t.Errorf("task %d: %s", i, output)
			}
		}
	}
	put := `import http.client,os,socket
s=socket.socket(socket.AF_UNIX);s.connect(os.environ["ALLCORES_SOCKET"])
c=http.client.HTTPConnection("allcores");c.sock=s
path=os.environ["ALLCORES_TASK_URL"][len("http://allcores"):]
assert path.endswith("/tasks/"+os.environ["ALLCORES_TASK"])
c.request("GET",path+"/blobs/` + hash.String() + `");print(c.getresponse().read().decode())`
	id := n.submit(t, jobs.Spec{
		Program: jobs.Program{Command: &jobs.Command{Argv: []string{"python3", "-c", put, "{}"}}},
		Inputs:  jobs.Inputs{Range: &jobs.Range{Stop: 2, Step: 1}},
	})
	n.end(t, id, time.Minute)
	if got := strings.Join(n.outputs(t, id), " "); got != `"given" "given"` {
		t.Errorf("commands print %s", got)
	}
}
