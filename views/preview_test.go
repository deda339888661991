package views

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/timeline"
	"github.com/allcores/allcores/static"
)

var previewAddr = flag.String("preview", "", "serve the sample pages at this address until interrupted")

// TestPreview shows the sample pages in a browser, with a job that runs:
//
//	go test ./views -run TestPreview -preview 127.0.0.1:8088 -timeout 0
func TestPreview(t *testing.T) {
	if *previewAddr == "" {
		t.Skip("only with -preview ADDR")
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *previewAddr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: previewHandler()}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	fmt.Printf("preview at http://%s\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
}

// madeSamples caches the samples: making them takes longer than showing one.
var madeSamples = sync.OnceValue(samples)

func previewHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, static.Handler())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range append(slices.Clone(madeSamples()), sample{name: "live"}) {
			fmt.Fprintf(w, "<p><a href=/show/%s>%s</a>", s.name, s.name)
		}
	})
	mux.HandleFunc("GET /show/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		if r.PathValue("name") == "live" {
			Job(liveJob(time.Now(), time.Now(), r.FormValue("rate"))).Render(r.Context(), w)
			return
		}
		theme := ""
		if c, err := r.Cookie(ThemeCookie); err == nil {
			theme = c.Value
		}
		if r.URL.Query().Has("theme") {
			theme = r.URL.Query().Get("theme")
		}
		for _, s := range madeSamples() {
			if s.name == r.PathValue("name") {
				var b bytes.Buffer
				if err := s.page.Render(r.Context(), &b); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				page := b.String()
				if theme != "" {
					page = strings.Replace(page, "<html", `<html data-theme="`+theme+`"`, 1)
				}
				if !r.URL.Query().Has("stream") {
					page = strings.Replace(page, "data-live=", "data-not-live=", 1)
				}
				w.Write([]byte(page))
				return
			}
		}
		http.NotFound(w, r)
	})
	mux.HandleFunc("GET /preview/live", previewStream)
	mux.HandleFunc("GET /api/v1/jobs/{id}/timeline", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(sampleTimeline(r.PathValue("id")))
	})
	mux.HandleFunc("GET /api/v1/timeline", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(sampleTimeline(sampleID(1)))
	})
	mux.HandleFunc("POST /jobs/new", func(w http.ResponseWriter, r *http.Request) {
		r.ParseMultipartForm(1 << 20)
		form := ParseNewJobForm(r.Form)
		spec, wrong := form.Spec(nil)
		form.Reject(wrong)
		p := NewJobPage{Page: samplePage(""), Form: form, Queues: sampleQueues()}
		if r.Form.Get(FieldTry) != "" && len(wrong) == 0 {
			time.Sleep(300 * time.Millisecond)
			p.Try = &TryResult{Input: "0", Output: `"would run ` + spec.Program.Kind() + `"`, Took: time.Second}
		}
		NewJob(p).Render(r.Context(), w)
	})
	return mux
}

// sampleTimeline returns half a minute on two cores, with a chunk of each kind.
func sampleTimeline(job string) timeline.Timeline {
	s := timeline.Timeline{
		Base: *sampleTime(30 * time.Second), ToMS: 30_000, NowMS: 30_000, ResolutionMS: 32.768, NextSinceMS: 28_000, OneIn: 1,
		Rows: []timeline.Row{{Host: "worker-1", Core: ptr(0), Label: "core 0"}, {Host: "worker-1", Core: ptr(1), Label: "core 1"}},
		Jobs: []timeline.JobName{{ID: job, Name: "sample"}},
	}
	r := &s.Rects
	for i := range 200 {
		state, start := timeline.Done, float64(300*(i/2)+40*(i%2))
		switch {
		case i >= 198:
			state = timeline.Leased
		case i == 50:
			state = timeline.Lost
		}
		r.Row, r.Job, r.State = append(r.Row, i%2), append(r.Job, 0), append(r.State, state)
		r.Start, r.End, r.Busy = append(r.Start, start), append(r.End, start+260), append(r.Busy, 260)
		r.First, r.Last = append(r.First, int64(10*i)), append(r.Last, int64(10*i+9))
		r.Count, r.Chunks, r.Failed = append(r.Count, 10), append(r.Chunks, 1), append(r.Failed, int64(i%37/36))
	}
	return s
}

// liveJob returns the present state of a job of 20,000 tasks that does 700 of
// them per second, or the request's rate.
func liveJob(start, now time.Time, rate string) JobPage {
	perSecond, err := strconv.ParseFloat(rate, 64)
	if err != nil {
		perSecond = 700
	}
	p := sampleRunning()
	p.Live, p.Now = "/preview/live?rate="+rate, now
	j := &p.Job
	j.CreatedAt, j.StartedAt = jobs.Time{Time: start}, &jobs.Time{Time: start}
	done := min(int64(now.Sub(start).Seconds()*perSecond), 20000)
	j.Counts = jobs.Counts{Total: 20000, Succeeded: done - done/100, Failed: done / 100, Running: min(64, 20000-done)}
	j.Counts.Waiting = 20000 - done - j.Counts.Running
	j.Rate, j.ETASeconds, j.CPUSeconds = perSecond, ptr(float64(20000-done)/perSecond), 14*now.Sub(start).Seconds()
	if done == 20000 {
		j.State, j.FinishedAt = jobs.Failed, &jobs.Time{Time: now}
		j.Reason = thousands(j.Counts.Failed) + " tasks failed"
	}
	p.Cells = sampleCells(j)
	p.Results = p.Results[:min(100, done/40)]
	return p
}

// patch returns the update for a browser that shows the snapshot before.
func patch(ctx context.Context, before *Snapshot, fragments []Fragment) ([]byte, *Snapshot, error) {
	now, err := Snap(ctx, before, fragments)
	if err != nil {
		return nil, nil, err
	}
	version := int64(0)
	if before != nil {
		version = before.Version
	}
	html, err := now.Since(version)
	return html, now, err
}

func previewStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	var shown *Snapshot
	start := time.Now()
	for range time.Tick(250 * time.Millisecond) {
		p := liveJob(start, time.Now(), r.FormValue("rate"))
		html, now, err := patch(context.Background(), shown, p.Fragments())
		if err != nil {
			return
		}
		shown = now
		fmt.Fprintf(w, "event: patch\ndata: %s\n\n", strings.ReplaceAll(string(html), "\n", "\ndata: "))
		if p.Job.State.Ended() {
			fmt.Fprint(w, "event: end\ndata:\n\n")
			return
		}
		if w.(http.Flusher).Flush(); r.Context().Err() != nil {
			return
		}
	}
}
