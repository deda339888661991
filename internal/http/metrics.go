package http

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/internal/store"
)

// Bounds of what scrapes cost the database.
const (
	summaryFor     = 5 * time.Second // how long a summary is reused
	summaryTimeout = 2 * time.Second // for the query
)

// metrics reports to Prometheus what this node counted and measured, and the work
// of the whole service. Everything is read when it is scraped. No label has more
// values than there are queues; none names a job or a user.
type metrics struct {
	site *Site

	exclusive                // held while the summary is read
	summary   *store.Summary // nil if the database did not answer
	read      time.Time
}

// counters count events of the site itself.
type counters struct {
	responses [6]atomic.Int64 // by the first digit of the status
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("allcores_"+name, help, labels, nil)
}

// Metrics of this node.
var (
	buildInfo    = describe("build_info", "1, with the server's version.", "version")
	submitted    = describe("jobs_submitted_total", "Jobs submitted at this node.", "queue")
	endedJobs    = describe("jobs_ended_total", "Jobs whose end this node recorded, by the state they ended in.", "state")
	tasksTotal   = describe("tasks_total", "Tasks whose outcome this node recorded.", "outcome")
	failures     = describe("task_failures_total", "Tasks that failed for good, by what ended them.", "kind")
	taskSeconds  = describe("task_seconds", "Wall time of runs of tasks, those that are tried again included.", "queue")
	chunkSeconds = describe("chunk_seconds", "Wall time of chunks, from the start of the first task to the last outcome.", "queue")
	turnWait     = describe("turn_wait_seconds", "How long turns waited for a slot.", "queue")
	slotsAll     = describe("slots", "Slots of this node.", "queue")
	slotsBusy    = describe("slots_busy", "Slots of this node in use.", "queue")
	nodesLost    = describe("nodes_lost_total", "Other nodes that this one found dead.")
	sseClients   = describe("sse_clients", "Streams of server-sent events that are open here.")
	responses    = describe("http_responses_total", "Answers of this server, by the class of their status.", "class")
	dbConns      = describe("db_connections", "Connections to the database.", "pool", "state")
	dbMax        = describe("db_connections_max", "Connections that a pool may have.", "pool")
	dbAcquires   = describe("db_acquires_total", "Connections taken from a pool.", "pool")
	dbWaits      = describe("db_acquire_waits_total", "Connections for which a caller had to wait, because none was idle.", "pool")
	dbWaited     = describe("db_acquire_seconds_total", "Time spent taking connections from a pool.", "pool")
)

// Metrics of the whole service, the same at each node.
var (
	dbUp          = describe("db_up", "1 when the database answered.")
	dbSize        = describe("db_size_bytes", "Size of the database.")
	jobsNow       = describe("jobs", "Jobs that have not ended, in the whole service.", "state")
	nodesNow      = describe("nodes", "Nodes that live.", "role")
	queuePaused   = describe("queue_paused", "1 for a queue that is paused.", "queue")
	queueTurns    = describe("queue_turns", "Turns in the whole service.", "queue", "state")
	queueTasks    = describe("queue_tasks", "Tasks of jobs that have not ended, in the whole service.", "queue", "state")
	queueOldest   = describe("queue_oldest_turn_seconds", "How long the turn has waited that could have been fetched first.", "queue")
	everyMeasures = []*prometheus.Desc{
		buildInfo, submitted, endedJobs, tasksTotal, failures, taskSeconds, chunkSeconds, turnWait, slotsAll, slotsBusy, nodesLost,
		sseClients, responses, dbConns, dbMax, dbAcquires, dbWaits, dbWaited,
		dbUp, dbSize, jobsNow, nodesNow, queuePaused, queueTurns, queueTasks, queueOldest,
	}
)

// newMetrics makes the handler of /metrics, with a registry of its own.
func (s *Site) newMetrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &metrics{site: s, exclusive: newExclusive()})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.HTTPErrorOnError,
	})
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range everyMeasures {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	s := m.site
	gauge(buildInfo, 1, s.version)

	counts := s.store.Counts()
	for _, state := range []jobs.State{jobs.Succeeded, jobs.Failed, jobs.Cancelled} {
		count(endedJobs, counts.Jobs[state], string(state))
	}
	count(tasksTotal, counts.Succeeded, string(jobs.TaskSucceeded))
	count(tasksTotal, counts.Failed, string(jobs.TaskFailed))
	count(tasksTotal, counts.Cancelled, string(jobs.TaskCancelled))
	for _, kind := range jobs.ErrorKinds {
		count(failures, counts.Failures[kind], string(kind))
	}
	count(failures, counts.Failures[store.OtherKind], store.OtherKind)

	measured := s.engine.Usage()
	count(nodesLost, measured.Lost)
	for name, q := range measured.Queues {
		count(submitted, q.Submitted, name)
		gauge(slotsAll, float64(q.Slots.Total), name)
		gauge(slotsBusy, float64(q.Slots.Used), name)
		out <- histogram(taskSeconds, q.Tasks, name)
		out <- histogram(chunkSeconds, q.Chunks, name)
		out <- histogram(turnWait, q.Waits, name)
	}

	_, events, _ := s.streams.Counts()
	gauge(sseClients, float64(events))
	for i := 1; i < len(s.counters.responses); i++ {
		count(responses, s.counters.responses[i].Load(), string(rune('0'+i))+"xx")
	}
	for name, pool := range map[string]*pgxpool.Pool{"main": s.store.Pool, "river": s.store.River} {
		stat := pool.Stat()
		gauge(dbConns, float64(stat.AcquiredConns()), name, "busy")
		gauge(dbConns, float64(stat.IdleConns()), name, "idle")
		gauge(dbConns, float64(stat.ConstructingConns()), name, "connecting")
		gauge(dbMax, float64(stat.MaxConns()), name)
		count(dbAcquires, stat.AcquireCount(), name)
		count(dbWaits, stat.EmptyAcquireCount(), name)
		out <- prometheus.MustNewConstMetric(dbWaited, prometheus.CounterValue, stat.AcquireDuration().Seconds(), name)
	}

	sum := m.sum()
	if sum == nil {
		gauge(dbUp, 0)
		return
	}
	gauge(dbUp, 1)
	gauge(dbSize, float64(sum.Size))
	for state, n := range sum.Jobs {
		gauge(jobsNow, float64(n), string(state))
	}
	for _, role := range []string{engine.RoleAll, engine.RoleWeb, engine.RoleWorker} {
		gauge(nodesNow, float64(sum.Nodes[role]), role)
	}
	for name, q := range sum.Queues {
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		gauge(queuePaused, paused, name)
		gauge(queueTurns, float64(q.WaitingTurns), name, "waiting")
		gauge(queueTurns, float64(q.RunningTurns), name, "running")
		gauge(queueTasks, float64(q.WaitingTasks), name, "waiting")
		gauge(queueTasks, float64(q.RunningTasks), name, "running")
		gauge(queueOldest, q.OldestTurn.Seconds(), name)
	}
}

// sum returns a summary of the work, at most summaryFor old, or nil if the database
// did not answer.
func (m *metrics) sum() *store.Summary {
	ctx := context.Background() // a scrape has none
	if m.acquire(ctx) != nil {
		return nil
	}
	defer m.release()
	if time.Since(m.read) < summaryFor {
		return m.summary
	}
	ctx, cancel := context.WithTimeout(ctx, summaryTimeout)
	defer cancel()
	sum, err := m.site.store.Summary(ctx)
	m.read, m.summary = time.Now(), &sum
	if err != nil {
		m.summary = nil
		m.site.log.Warn("read the summary for metrics", "error", err)
	}
	return m.summary
}

// histogramDoublings are the bounds of histograms, as powers of two of a
// nanosecond, where classes of times begin. Between 1 ms and half a minute each is
// twice the bound before.
var histogramDoublings = []int{
	13, 15, 17, 19, // 8 µs …
	20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, // 1 ms … 34 s
	37, 39, 41, 43, // 137 s … 2.4 h
}

// histogram converts times to a histogram of Prometheus: cumulative, in seconds.
func histogram(d *prometheus.Desc, times engine.Times, labels ...string) prometheus.Metric {
	const classes = 4 // to a doubling
	buckets := make(map[float64]uint64, len(histogramDoublings))
	var all uint64
	from := 0
	for _, doublings := range histogramDoublings {
		for ; from < classes*doublings; from++ {
			all += uint64(times.Classes[from])
		}
		buckets[math.Exp2(float64(doublings))/1e9] = all
	}
	for ; from < len(times.Classes); from++ {
		all += uint64(times.Classes[from])
	}
	return prometheus.MustNewConstHistogram(d, all, times.Sum.Seconds(), buckets, labels...)
}
