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

// routes builds the table of every address. A worker has only the addresses for
// its operators.
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

	s.routePages(r)
	s.routeAPI(r)
	return r
}

// jobActions are the calls that change a job's state, for pages and API.
type jobActions struct{ pause, resume, cancel, cancelWaiting jobAction }

func (s *Site) jobActions() jobActions {
	return jobActions{
		pause:  s.verb("pause", s.engine.Pause, jobs.BulkPause.Conflict()),
		resume: s.verb("resume", s.engine.Resume, jobs.BulkResume.Conflict()),
		cancel: s.verb("cancel", s.engine.Cancel, jobs.BulkCancel.Conflict()),

		cancelWaiting: s.verb("cancel waiting", s.cancelWaiting, jobs.BulkCancel.Conflict()),
	}
}

// routePages adds the pages, their forms and their streams.
func (s *Site) routePages(r chi.Router) {
	act := s.jobActions()
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
	r.Post("/jobs/{id}/cancel", s.page(s.fromPage(act.cancel)))
	r.Post("/jobs/{id}/cancel-waiting", s.page(s.fromPage(act.cancelWaiting)))
	r.Post("/jobs/{id}/tasks/{index}/cancel", s.page(s.cancelTaskFromPage))
	r.Post("/jobs/{id}/pause", s.page(s.fromPage(act.pause)))
	r.Post("/jobs/{id}/resume", s.page(s.fromPage(act.resume)))
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
	r.Get("/docs/examples", s.page(s.examplesPage))
	r.Get("/docs/python", s.page(s.pythonPage))

	r.HandleFunc(riverPrefix, s.river.page)
	r.HandleFunc(riverPrefix+"/*", s.river.page)
}

// routeAPI adds the operations of the API and describes them.
func (s *Site) routeAPI(r chi.Router) {
	act := s.jobActions()
	a := s.newAPI(r)
	r.Get(apiPrefix+"/openapi.json", a.describe)

	route(a, jobs.Submitter, "POST /jobs", "submit-job", "Submit a job", s.submitJob)
	route(a, jobs.Viewer, "GET /jobs", "list-jobs", "Jobs, newest first", s.listJobs)
	route(a, jobs.Viewer, "GET /jobs/{id}", "get-job", "A job", s.getJob)
	route(a, jobs.Submitter, "DELETE /jobs/{id}", "delete-job", "Delete an ended job with its inputs, outcomes and logs", s.deleteJob)
	route(a, jobs.Viewer, "GET /jobs/suggestions", "suggest-search", "Completions of a search term", s.suggest)
	route(a, jobs.Submitter, "POST /jobs/bulk", "bulk-jobs", "Apply one action to many jobs", s.bulk)
	route(a, jobs.Viewer, "GET /jobs/bulk/{id}", "get-bulk", "The progress of a bulk operation", s.getBulk)
	route(a, jobs.Submitter, "POST /jobs/{id}/cancel", "cancel-job", "Cancel a job, or its waiting tasks", s.cancelJob(act))
	route(a, jobs.Submitter, "POST /jobs/{id}/tasks/cancel", "cancel-tasks", "Cancel tasks that have not started", s.cancelTasks)
	route(a, jobs.Submitter, "POST /jobs/{id}/tasks/{index}/cancel", "cancel-task", "Cancel a task that has not started", s.cancelTask)
	route(a, jobs.Submitter, "POST /jobs/{id}/tasks", "append-tasks", "Append inputs to an open job, one JSON value per line", s.appendTasks)
	route(a, jobs.Submitter, "POST /jobs/{id}/seal", "seal-job", "Close an open job to further inputs", s.verb("seal", s.engine.Seal, "The job has already ended."))
	route(a, jobs.Submitter, "POST /jobs/{id}/keep-alive", "keep-job-alive", "Begin the idle time of an open job again", s.keepAlive)
	route(a, jobs.Submitter, "POST /jobs/{id}/pause", "pause-job", "Pause a job: no further task starts", act.pause)
	route(a, jobs.Submitter, "POST /jobs/{id}/resume", "resume-job", "Resume a paused job", act.resume)
	route(a, jobs.Submitter, "POST /jobs/{id}/retry", "retry-job", "Run failed and cancelled tasks of an ended job again", s.retry)
	route(a, jobs.Viewer, "GET /jobs/{id}/runs", "list-runs", "The runs of a job: the first, then its retries", s.listRuns)
	route(a, jobs.Viewer, "GET /jobs/{id}/timeline", "get-timeline", "The timeline of a job: what ran where and when", s.jobTimeline)
	route(a, jobs.Viewer, "GET /timeline", "get-all-timeline", "The timeline of all jobs: what ran where and when", s.allTimeline)
	route(a, jobs.Viewer, "GET /jobs/{id}/report", "get-report", "The speed-up report of a job", s.report)
	route(a, jobs.Viewer, "GET /jobs/{id}/stream", "get-job-stream", "The former address of a job's timeline", s.jobRects, deprecated)
	route(a, jobs.Viewer, "GET /stream", "get-stream", "The former address of the timeline of all jobs", s.allTimeline, deprecated)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}", "get-task", "One task", s.getTask)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}/input", "get-task-input", "The input of a task, unchanged", s.taskInput)
	route(a, jobs.Viewer, "GET /jobs/{id}/tasks/{index}/output", "get-task-output", "The output of a task that succeeded, unchanged", s.taskOutput)
	route(a, jobs.Viewer, "GET /jobs/{id}/progress", "list-progress", "What running tasks report of their progress, by task", s.listReports)
	route(a, jobs.Viewer, "GET /jobs/{id}/errors", "list-errors", "A job's failures, grouped", s.listErrors)
	stream(a, jobs.Viewer, "GET /jobs/{id}/results", "get-results", "Outcomes, streamed", s.results, ndjson, "application/json", "text/csv")
	stream(a, jobs.Viewer, "GET /jobs/{id}/logs", "get-logs", "What tasks printed, streamed", s.logs, ndjson)
	stream(a, jobs.Viewer, "GET /jobs/{id}/events", "job-events", "A job as it changes", s.jobEvents, live.EventType)
	stream(a, jobs.Viewer, "GET /events", "events", "All jobs as they change; for admins also queues and nodes", s.allEvents, live.EventType)
	route(a, jobs.Submitter, "PUT /blobs/{sha256}", "put-blob", "Store bytes under their SHA-256", s.putBlob)
	stream(a, jobs.Viewer, "GET /blobs/{sha256}", "get-blob", "The bytes with a SHA-256", s.getBlob, blobType)
	route(a, jobs.Submitter, "POST /jobs/{id}/blobs", "reference-blobs", "Keep blobs as long as a job", s.referenceBlobs)
	route(a, jobs.Viewer, "GET /queues", "list-queues", "Queues", s.listQueues)
	route(a, jobs.Viewer, "GET /queues/{name}", "get-queue", "A queue", s.getQueue)
	route(a, jobs.Admin, "PUT /queues/{name}", "put-queue", "Add a queue or change it; fields that the body leaves out keep their values", s.putQueue)
	route(a, jobs.Admin, "DELETE /queues/{name}", "delete-queue", "Delete a queue that has no work", s.deleteQueue)
	route(a, jobs.Admin, "POST /queues/{name}/pause", "pause-queue", "Pause a queue: no further task starts", s.pauseQueue(true))
	route(a, jobs.Admin, "POST /queues/{name}/resume", "resume-queue", "Resume a paused queue", s.pauseQueue(false))
	route(a, jobs.Viewer, "GET /queues/{name}/history", "queue-history", "The last hour of a queue", s.queueHistory)
	route(a, jobs.Viewer, "GET /nodes", "list-nodes", "Nodes", s.listNodes)
	route(a, jobs.Viewer, "GET /nodes/{id}/history", "node-history", "The last hour of a node", s.nodeHistory)
	route(a, jobs.Admin, "POST /nodes/{id}/drain", "drain-node", "Drain a node: no further turn begins, running tasks finish", s.drainNode(true))
	route(a, jobs.Admin, "POST /nodes/{id}/resume", "resume-node", "Resume a drained node", s.drainNode(false))
	s.routeShared(a)
	a.documentBody("/jobs", specSchema)
	a.documentTasksBody()
	a.documentBlobBody()
	a.documentQueueBody()
	a.documentBulk()
}
