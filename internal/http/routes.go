package http

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/allcores/allcores/internal/http/live"
	"github.com/allcores/allcores/internal/jobs"
	"github.com/allcores/allcores/internal/jobs/engine"
	"github.com/allcores/allcores/static"
)

// routes is the table of every address. A worker has only what tells whether it
// is well.
func (s *Site) routes() chi.Router {
	r := chi.NewRouter()
	r.Use(s.observe, middleware.GetHead, secure, s.limitBody, s.sameOrigin)
	r.NotFound(s.plain(notFound))
	r.MethodNotAllowed(s.plain(methodNotAllowed(r)))

	r.Handle(static.Prefix+"*", static.Handler())
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", s.readyz)
	r.Method(http.MethodGet, "/metrics", s.newMetrics())
	if s.engine.Role == engine.RoleWorker {
		r.NotFound(s.plain(notHere))
		return r
	}

	r.Get("/login", s.plain(s.loginPage))
	r.Post("/login", s.plain(s.login))
	r.Post("/logout", s.plain(s.logout))

	r.Get("/", s.page(s.jobsPage))
	s.live(r, "/live", s.jobsLive)
	r.Get("/jobs/new", s.page(s.newJobPage))
	r.Post("/jobs/new", s.page(s.createJob))
	r.Post("/jobs/new/file", s.page(s.previewFile))
	r.Get("/jobs/{id}", s.page(s.jobPage))
	s.live(r, "/jobs/{id}/live", s.jobLive)
	r.Get("/jobs/{id}/results", s.page(s.resultsPage))
	s.live(r, "/jobs/{id}/results/live", s.resultsLive)
	r.Get("/jobs/{id}/logs", s.page(s.logsPage))
	s.live(r, "/jobs/{id}/logs/live", s.logsLive)
	pause := s.verb("pause", s.engine.Pause, jobs.BulkPause.Conflict())
	resume := s.verb("resume", s.engine.Resume, jobs.BulkResume.Conflict())
	cancel := s.verb("cancel", s.engine.Cancel, jobs.BulkCancel.Conflict())
	r.Post("/jobs/{id}/cancel", s.page(s.fromPage(cancel)))
	r.Post("/jobs/{id}/pause", s.page(s.fromPage(pause)))
	r.Post("/jobs/{id}/resume", s.page(s.fromPage(resume)))
	r.Post("/jobs/{id}/retry", s.page(s.retryFromPage))
	r.Post("/jobs/{id}/delete", s.page(s.deleteFromPage))
	r.Get("/jobs/{id}/tasks", s.page(s.gotoTask))
	r.Get("/jobs/{id}/tasks/{index}", s.page(s.taskPage))
	s.live(r, "/jobs/{id}/tasks/{index}/live", s.taskLive)
	r.Get("/queues", s.page(s.queuesPage))
	s.live(r, "/queues/live", s.queuesLive)
	r.Post("/queues", s.page(s.addQueue))
	r.Post("/queues/{name}", s.page(s.changeQueue))
	r.Post("/queues/{name}/pause", s.page(s.onQueue(s.pauseQueue(true))))
	r.Post("/queues/{name}/resume", s.page(s.onQueue(s.pauseQueue(false))))
	r.Post("/queues/{name}/delete", s.page(s.removeQueue))
	r.Get("/nodes", s.page(s.nodesPage))
	s.live(r, "/nodes/live", s.nodesLive)
	r.Post("/nodes/{id}/drain", s.page(s.onNode(s.drainNode(true))))
	r.Post("/nodes/{id}/resume", s.page(s.onNode(s.drainNode(false))))
	r.Get("/pages/live", s.page(s.pagesLive))
	r.Get("/docs", s.page(s.docsPage))

	r.HandleFunc(riverPrefix, s.river.page)
	r.HandleFunc(riverPrefix+"/*", s.river.page)

	a := s.newAPI(r)
	r.Get(apiPrefix+"/openapi.json", a.describe)

	route(a, jobs.Submitter, "POST /jobs", "submit-job", "Submit a job", s.submitJob)
	route(a, jobs.Viewer, "GET /jobs", "list-jobs", "Jobs, newest first", s.listJobs)
	route(a, jobs.Viewer, "GET /jobs/{id}", "get-job", "A job", s.getJob)
	route(a, jobs.Submitter, "DELETE /jobs/{id}", "delete-job", "Delete an ended job and all that is kept of it", s.deleteJob)
	route(a, jobs.Viewer, "GET /jobs/suggestions", "suggest-search", "How a term of a search may go on", s.suggest)
	route(a, jobs.Submitter, "POST /jobs/bulk", "bulk-jobs", "Do one action to many jobs", s.bulk)
	route(a, jobs.Viewer, "GET /jobs/bulk/{id}", "get-bulk", "How far a bulk operation is", s.getBulk)
	route(a, jobs.Submitter, "POST /jobs/{id}/cancel", "cancel-job", "Cancel a job", cancel)
	route(a, jobs.Submitter, "POST /jobs/{id}/tasks", "append-tasks", "Add inputs to an open job, one JSON value a line", s.appendTasks)
	route(a, jobs.Submitter, "POST /jobs/{id}/seal", "seal-job", "Close an open job for inputs", s.verb("seal", s.engine.Seal, "The job has already ended."))
	route(a, jobs.Submitter, "POST /jobs/{id}/pause", "pause-job", "Start nothing more of a job", pause)
	route(a, jobs.Submitter, "POST /jobs/{id}/resume", "resume-job", "Let a paused job go on", resume)
	route(a, jobs.Submitter, "POST /jobs/{id}/retry", "retry-job", "Run failed and cancelled tasks of an ended job again", s.retry)
	route(a, jobs.Viewer, "GET /jobs/{id}/runs", "list-runs", "The runs of a job: the first, then its retries", s.listRuns)
	route(a, jobs.Viewer, "GET /jobs/{id}/timeline", "get-timeline", "Chunks as bars", s.timeline)
	route(a, jobs.Viewer, "GET /jobs/{id}/report", "get-report", "How well a job was spread, and what its speed-up was bound by", s.report)
	route(a, jobs.Viewer, "GET /jobs/{id}/stream", "get-job-stream", "What of a job ran where and when, for a picture", s.jobStream)
	route(a, jobs.Viewer, "GET /stream", "get-stream", "What ran where and when, of all jobs", s.allStream)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}", "get-task", "One task", s.getTask)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}/input", "get-task-input", "The input of a task, as it is", s.taskInput)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}/output", "get-task-output", "The output of a task that succeeded, as it is", s.taskOutput)
	route(a, jobs.Viewer, "GET /jobs/{id}/errors", "list-errors", "A job's failures, grouped", s.listErrors)
	stream(a, jobs.Viewer, "GET /jobs/{id}/results", "get-results", "Outcomes, streamed", s.results, ndjson, "application/json", "text/csv")
	stream(a, jobs.Viewer, "GET /jobs/{id}/logs", "get-logs", "What tasks printed, streamed", s.logs, ndjson)
	stream(a, jobs.Viewer, "GET /jobs/{id}/events", "job-events", "A job as it changes", s.jobEvents, live.EventType)
	stream(a, jobs.Viewer, "GET /events", "events", "All jobs as they change; for admins also queues and nodes", s.allEvents, live.EventType)
	route(a, jobs.Viewer, "GET /queues", "list-queues", "Queues", s.listQueues)
	route(a, jobs.Viewer, "GET /queues/{name}", "get-queue", "A queue", s.getQueue)
	route(a, jobs.Admin, "PUT /queues/{name}", "put-queue", "Add a queue or change it; what the body leaves out stays as it is", s.putQueue)
	route(a, jobs.Admin, "DELETE /queues/{name}", "delete-queue", "Delete a queue that has no work", s.deleteQueue)
	route(a, jobs.Admin, "POST /queues/{name}/pause", "pause-queue", "Start nothing more of a queue", s.pauseQueue(true))
	route(a, jobs.Admin, "POST /queues/{name}/resume", "resume-queue", "Let a paused queue go on", s.pauseQueue(false))
	route(a, jobs.Viewer, "GET /queues/{name}/history", "queue-history", "What was done in a queue within the last hour", s.queueHistory)
	route(a, jobs.Viewer, "GET /nodes", "list-nodes", "Nodes", s.listNodes)
	route(a, jobs.Viewer, "GET /nodes/{id}/history", "node-history", "What a node did within the last hour", s.nodeHistory)
	route(a, jobs.Admin, "POST /nodes/{id}/drain", "drain-node", "Begin no more turns on a node; tasks in hand finish", s.drainNode(true))
	route(a, jobs.Admin, "POST /nodes/{id}/resume", "resume-node", "Let a drained node take turns again", s.drainNode(false))
	a.documentBody("/jobs", specSchema)
	a.documentTasksBody()
	a.documentQueueBody()
	a.documentBulk()
	return r
}
