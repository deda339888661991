// Fetches the timeline's data and keeps it up to date.
//
// Contract: #timeline-box has the timeline's API address in data-url
// (internal/jobs/timeline describes the answer). An address with seconds= is
// for all jobs, any other for one job. #timeline has data-growing while it may
// still grow.

export const LEASED = 0;
export const DONE = 1;
export const LOST = 2;

export class Data {
  // All times are milliseconds after origin, which is milliseconds since 1970.
  origin = null;
  rows = []; // in the server's order, each with its position y
  rects = []; // ordered by row, then by start
  names = new Map(); // of the jobs, by id
  home = { from: 0, to: 1 }; // the whole window
  first = 0; // time of the job's first lease, earlier runs included
  asked = null; // the window of rects: {from, to}, or null for home
  resolution = 0;
  since = 0; // rectangles that begin earlier do not change
  oneIn = 1;
  loaded = false;
  failing = false; // the server did not answer the last request

  #known = new Map(); // rows by host, core and slot
  #now = 0; // the server's clock at its last answer
  #nowAt = 0; // our clock at that time

  constructor(section, box) {
    this.section = section;
    this.url = box.dataset.url;
    this.ofJob = !this.url.includes("seconds=");
  }

  get growing() {
    return this.section.hasAttribute("data-growing");
  }

  // now estimates the server's clock.
  get now() {
    return this.#now + performance.now() - this.#nowAt;
  }

  iso(t) {
    return new Date(Math.floor(this.origin + t)).toISOString();
  }

  // fetch requests a window, {from, to} or null for home, at a width in pixels.
  // With news it requests only what began since the last answer, and returns
  // false if that does not fit the present rectangles.
  async fetch({ target, width, news, signal }) {
    const query = new URLSearchParams(target ? { from: this.iso(target.from), to: this.iso(target.to + 1) } : {});
    query.set("width", width);
    if (news) query.set("since", this.iso(this.since));
    const answer = await fetch(this.url + (this.url.includes("?") ? "&" : "?") + query, { signal });
    if (!answer.ok) throw new Error(answer.statusText);
    const got = await answer.json();
    if (signal.aborted || (news && got.resolution_ms !== this.resolution)) return false;
    this.#take(got, target, news);
    return true;
  }

  #take(got, target, news) {
    const base = Date.parse(got.base);
    if (this.origin === null || !this.rects.length) this.origin = base; // a queued job has not started yet
    const shift = base - this.origin;
    this.#now = got.now_ms + shift;
    this.#nowAt = performance.now();
    this.resolution = got.resolution_ms;
    this.since = got.next_since_ms + shift;
    this.oneIn = got.one_in;
    if (!target) this.home = { from: got.from_ms + shift, to: got.to_ms + shift };
    else if (this.growing) this.home.to = Math.max(this.home.to, this.#now);
    this.first = got.first_ms + shift;
    this.asked = target;
    for (const job of got.jobs) this.names.set(job.id, job.name);
    if (!news) this.rects = [];
    if (!news && !this.ofJob) {
      this.rows = [];
      this.#known.clear();
    }
    const rows = this.#takeRows(got.rows);
    if (news) this.rects = this.rects.filter((r) => r.start < got.since_ms + shift && r.state !== LEASED);
    const c = got.rects;
    for (let i = 0; i < c.row.length; i++) {
      this.rects.push({
        row: rows[c.row[i]], job: got.jobs[c.job[i]].id, state: c.state[i],
        start: c.start_ms[i] + shift, end: c.end_ms[i] + shift, busy: c.busy_ms[i],
        first: c.first[i], last: c.last[i], count: c.count[i], chunks: c.chunks[i], failed: c.failed[i],
      });
    }
    this.rects.sort((a, b) => a.row.y - b.row.y || a.start - b.start || b.state - a.state);
    this.loaded = true;
  }

  // takeRows maps an answer's rows to those in rows, and adds new ones.
  #takeRows(list) {
    const rows = list.map((row) => {
      const key = [row.host, row.core, row.slot].join("|");
      let known = this.#known.get(key);
      if (!known) {
        known = { ...row, key };
        this.#known.set(key, known);
        this.rows.push(known);
      }
      return known;
    });
    this.rows.sort((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : (a.slot ?? -1) - (b.slot ?? -1) || (a.core ?? -1) - (b.core ?? -1)));
    // An answer with rows of one host omits the host from the labels.
    const hosts = new Set(this.rows.map((row) => row.host)).size;
    this.rows.forEach((row, y) => {
      row.y = y;
      if (hosts > 1 && !row.label.startsWith(`${row.host} `)) row.label = `${row.host} ${row.label}`;
    });
    return rows;
  }

  // again returns the rectangle that replaces an older one.
  again(old) {
    if (!old) return null;
    let best = null;
    for (const r of this.rects) {
      if (r.row.key !== old.row.key || r.job !== old.job || r.start > old.end || r.end < old.start) continue;
      if (!best || Math.abs(r.start - old.start) < Math.abs(best.start - old.start)) best = r;
    }
    return best;
  }
}
