// One connection for all visible pages of a browser: a browser opens only six to
// a server, and each page would keep one open. This runs in a SharedWorker, or in
// each page where the browser has no shared workers.

// address is where the pages find the worker.
export const address = import.meta.url;

// Milliseconds.
const SOON = 10; // pages come and go together
const LONGEST = 2000; // between two attempts to connect
const LOST = 2500; // without an answer, until the page shows it
const SILENT = 40000; // without an event: the server sends one every 15 s
const FORGOTTEN = 70000; // without a word of a page that has not said goodbye

export class Feed {
  #tabs = new Map(); // address of a tab's stream, by its callback
  #source = null;
  #failures = 0;
  #answered = Date.now(); // when the server last did
  #timer = 0;
  #silence = 0;

  // join adds a visible tab. It receives messages, each one of {trouble:
  // "database", "server" or ""}, {lost: true}, {patch: html}, {end: true}, {gone:
  // true} and {signin: true}.
  join(tell, page) {
    if (this.#tabs.get(tell) === page) return;
    this.#tabs.set(tell, page);
    // Only a new stream begins with everything that the page shows.
    this.#later(SOON);
  }

  leave(tell) {
    const page = this.#tabs.get(tell);
    if (!this.#tabs.delete(tell)) return;
    if (!this.#tabs.size) this.#close();
    else if (![...this.#tabs.values()].includes(page)) this.#later(SOON);
  }

  #tell(message, page) {
    for (const [tell, of] of this.#tabs) if (page === undefined || of === page) tell(message);
  }

  // #done removes pages that get no more messages.
  #done(message, page) {
    this.#tell(message, page);
    for (const [tell, of] of this.#tabs) if (page === undefined || of === page) this.#tabs.delete(tell);
    if (!this.#tabs.size) this.#close();
  }

  #later(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  #close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }

  #open() {
    this.#close();
    const pages = [...new Set(this.#tabs.values())];
    if (!pages.length) return;
    // In a stream of several pages the first line names the page.
    const one = pages.length === 1;
    const url = one ? pages[0] : "/pages/live?" + new URLSearchParams(pages.map((page) => ["page", page]));
    const mine = new EventSource(url);
    this.#source = mine;
    const on = (event, act) =>
      mine.addEventListener(event, ({ data }) => {
        this.#heard();
        if (one) return act(pages[0], data);
        const end = data.indexOf("\n");
        act(end < 0 ? data : data.slice(0, end), end < 0 ? "" : data.slice(end + 1));
      });
    mine.onopen = () => {
      this.#failures = 0;
      this.#heard();
      this.#tell({ trouble: "" });
    };
    on("patch", (page, html) => this.#tell({ patch: html }, page));
    on("end", (page) => this.#done({ end: true }, page));
    on("gone", (page) => this.#done({ gone: true }, page));
    mine.addEventListener("still", () => this.#heard());
    mine.addEventListener("status", ({ data }) => {
      this.#heard();
      this.#tell({ trouble: data === "away" ? "database" : "" });
    });
    mine.onerror = () => this.#fail(mine, url);
  }

  #heard() {
    this.#answered = Date.now();
    clearTimeout(this.#silence);
    const mine = this.#source;
    this.#silence = setTimeout(() => this.#fail(mine, ""), SILENT);
  }

  async #fail(mine, url) {
    if (this.#source !== mine) return;
    // It is closed when there was an answer that is not a stream.
    const refused = mine.readyState === EventSource.CLOSED;
    this.#close();
    this.#tell({ lost: true });
    if (refused) await this.#probe(url);
    if (this.#source || !this.#tabs.size) return; // meanwhile pages came, or all are gone
    if (Date.now() - this.#answered > LOST) this.#tell({ trouble: "server" });
    // A short break (a restarted server) is over soon. The chance keeps many
    // browsers from coming at once.
    this.#failures++;
    this.#later(Math.min(250 * 2 ** (this.#failures - 1), LONGEST) * (0.75 + Math.random() / 2));
  }

  // #probe asks why the stream failed, which an EventSource does not report.
  async #probe(url) {
    const stop = new AbortController();
    try {
      const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
      this.#answered = Date.now();
      if (answer.status === 401) this.#done({ signin: true });
      // A page that there was no more is found by loading it, and one that an
      // older server sent too.
      if ([404, 410, 422].includes(answer.status)) this.#done({ gone: true });
      // A server that is only starting answers without a page.
      const page = answer.headers.get("Content-Type")?.startsWith("text/html");
      if (answer.status === 503) this.#tell({ trouble: page ? "database" : "server" });
    } catch {
      // Not there yet.
    } finally {
      stop.abort();
    }
  }
}

if (globalThis.SharedWorkerGlobalScope && self instanceof SharedWorkerGlobalScope) {
  const feed = new Feed();
  const seen = new Map();
  // A visible tab sends the address of its page's stream from time to time, and
  // null when it is hidden.
  self.onconnect = ({ ports: [port] }) => {
    const tell = (message) => port.postMessage(message);
    port.onmessage = ({ data: page }) => {
      if (page === null) {
        seen.delete(tell);
        feed.leave(tell);
        return;
      }
      seen.set(tell, Date.now());
      feed.join(tell, page);
    };
  };
  setInterval(() => {
    for (const [tell, at] of seen) {
      if (Date.now() - at < FORGOTTEN) continue;
      seen.delete(tell);
      feed.leave(tell);
    }
  }, FORGOTTEN / 2);
}
