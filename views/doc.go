// Package views renders the pages in templ, one file per page.
//
// Each page has a struct with its data ([JobsPage], [JobPage], …) and a
// component that renders it ([Jobs], [Job], …). Package http fills the struct
// and renders the component into a buffer. Package views reads no clock,
// request or database: the time is Page.Now.
//
// # Live fragments
//
// A fragment is a changing part of a page: an element with a fixed id. The page
// and its stream render the same components. While its tab is visible, a page
// opens a stream of events from the address in Page.Live, if that is set. On
// connect, and on each change, the server fills the page's struct again and
// sends
//
//	event: patch
//	data: <div id="job-figures">…</div>
//
// with the bytes of [Snapshot.Since] over the struct's Fragments method: first
// all fragments, later those that differ, and nothing when the bytes are empty.
// (Each line of the HTML is one data line.) A [Snapshot] serves all browsers
// that show the page. The server keeps only the version that it sent last to
// each; a browser that reconnects gets everything. The client morphs each
// outermost element that has an id into the page's element with that id. When
// nothing will change any more the server sends
//
//	event: end
//	data:
//
// and closes; the client does not reconnect. A stream answers 401 when its user
// is no longer signed in: the client then goes to /login. "event: status" with
// "data: away" reports that the database is away, and "data: back" that it is
// back; between them the client shows a banner. After 15 s without a change
// "event: still" shows that the stream is open. The pages' streams are
//
//	/live?q=…&sort=…&cursor=…       of /
//	/jobs/{id}/live                 of /jobs/{id}
//	/jobs/{id}/results/live?…       of /jobs/{id}/results
//	/jobs/{id}/logs/live?…          of /jobs/{id}/logs
//	/jobs/{id}/tasks/{index}/live   of /jobs/{id}/tasks/{index}
//	/queues/live, /nodes/live       of /queues, /nodes
//
// A browser uses one stream for all its tabs (feed.js):
//
//	/pages/live?page=ADDRESS&page=…
//
// merges the streams of those addresses. The first data line of its events,
// except status and still, names the page. A missing page does not stop the
// others; its event is
//
//	event: gone
//	data: /jobs/{id}/live
//	data:
//
// # Links
//
//	/?q=&sort=&cursor=              q in the syntax of [jobs.ParseSearch], sort in that
//	                                of [jobs.ParseOrder]; before= for the page that
//	                                ends before a cursor: see [ListQuery]
//	/jobs/new?example=NAME          prefilled by [Example]
//	/jobs/new?from=ID               prefilled from a job (run again with changes)
//	/jobs/{id}?run=N                with the figures of an earlier run
//	/jobs/{id}/tasks?index=N        redirects to /jobs/{id}/tasks/N; N is typed
//	                                by people: 1,234 and 1234 are the same
//	/jobs/{id}/results?state=&group=&from=  results from a task on; with to=N
//	                                the last ones before it
//	/jobs/{id}/logs?task=&stream=&q=  log lines, the last ones; with before or
//	                                after those beside a place
//	/api/v1/jobs/{id}/tasks/{index}/output  the whole of a large value; also /input
//	/api/v1/jobs/{id}/results       downloads; plain, ?format=outputs, ?format=csv
//	/api/v1/jobs/{id}/report        the figures of the speed-up report
//	/api/v1/jobs/{id}/timeline      the data that timeline.js draws for a job
//	/api/v1/timeline?seconds=       and for all jobs
//	/docs, /docs/python, /docs/examples  the manual, its page on Python, its gallery
//	/api/v1/openapi.json            from the manual
//
// The API must accept the session cookie for GET. Package static serves its
// files at its Prefix. Send pages with Cache-Control no-store or no-cache:
// relative times count from the server's clock in them.
//
// # Forms
//
// All are plain HTML forms. They answer 303 on success, else 422 and their page
// with the errors and the typed values. The server must refuse requests from
// other origins by their headers: no form carries a token.
//
//	POST /login               [FieldToken], [FieldNext]
//	POST /logout
//	POST /jobs/new            multipart or urlencoded, see [NewJobForm]; with
//	                          [FieldTry] it only tries the first input and
//	                          renders the page with a [TryResult] (200), with
//	                          [FieldCheck] it submits nothing (204), with
//	                          [FieldPart] the file is only its beginning;
//	                          the file is read as it arrives, so the fields
//	                          about it come before it. The same [FieldKey]
//	                          with the same form leads to the same job
//	POST /jobs/new/file       the form's fields about its file and the file, or
//	                          its beginning, answered by [FileInputs]
//	POST /jobs/{id}/VERB      no fields; cancel, pause, resume, retry or delete;
//	                          retry?group=ID only retries a group of failures
//	POST /queues, /queues/{name}        a new queue, a queue's limits: [QueueForm]
//	POST /queues/{name}/VERB            no fields; pause, resume or delete
//	POST /nodes/{id}/VERB               no fields; drain or resume
//
// The forms of queues and nodes have data-inplace: a script sends them and
// merges the answer into the page. A form with errors has data-keep until it is
// sent again, so that the stream does not change it.
//
// # Theme
//
// The theme switch stores "light" or "dark" in the cookie [ThemeCookie], which
// Page.Theme carries; without a cookie the theme follows the system.
package views
