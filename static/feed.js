// One connection for all visible pages of a browser. A browser opens only six
// per server, and each page would hold one open. Runs in a SharedWorker, or in
// each page of a browser without shared workers.

// address is the worker's script.
export const address = import.meta.url;

// Milliseconds.
const SOON = 10; // pages come and go together
const LONGEST = 2000; // longest wait between attempts to connect
const LOST = 2500; // without an answer, before the page shows it
const SILENT = 40000; // without an event: the server sends one every 15 s
const FORGOTTEN = 70000; // without a message from a page that has not left

export class Feed {
  #tabs = new Map(); // address of a tab's stream by its callback
  #source = null;
  #failures = 0;
  #answered = Date.now(); // time of the server's last answer
  #timer = 0;
  #silence = 0;

  // join adds a visible tab. send receives messages: {trouble: "database",
  // "server" or ""}, {lost: true}, {patch: html}, {end: true}, {gone: true} and
  // {signin: true}.
  join(send, page) {
    if (this.#tabs.get(send) === page) return;
    this.#tabs.set(send, page);
    // Only a new stream starts with the whole page.
    this.#later(SOON);
  }

  leave(send) {
    const page = this.#tabs.get(send);
    if (!this.#tabs.delete(send)) return;
    if (!this.#tabs.size) this.#close();
    else if (![...this.#tabs.values()].includes(page)) this.#later(SOON);
  }

  #send(message, page) {
    for (const [send, of] of this.#tabs) if (page === undefined || of === page) send(message);
  }

  // #done sends a tab its last message and removes it.
  #done(message, page) {
    this.#send(message, page);
    for (const [send, of] of this.#tabs) if (page === undefined || of === page) this.#tabs.delete(send);
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
      this.#send({ trouble: "" });
    };
    on("patch", (page, html) => this.#send({ patch: html }, page));
    on("end", (page) => this.#done({ end: true }, page));
    on("gone", (page) => this.#done({ gone: true }, page));
    mine.addEventListener("still", () => this.#heard());
    mine.addEventListener("status", ({ data }) => {
      this.#heard();
      this.#send({ trouble: data === "away" ? "database" : "" });
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
    // It is closed if the answer was not a stream.
    const refused = mine.readyState === EventSource.CLOSED;
    this.#close();
    this.#send({ lost: true });
    if (refused) await this.#probe(url);
    if (this.#source || !this.#tabs.size) return; // pages have joined, or all have left
    if (Date.now() - this.#answered > LOST) this.#send({ trouble: "server" });
    // A short break (a restarted server) ends soon. Random waits spread the
    // browsers' reconnects.
    this.#failures++;
    this.#later(Math.min(250 * 2 ** (this.#failures - 1), LONGEST) * (0.75 + Math.random() / 2));
  }

  // #probe requests the stream to learn why it failed, which an EventSource
  // does not report.
  async #probe(url) {
    const stop = new AbortController();
    try {
      const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
      this.#answered = Date.now();
      if (answer.status === 401) this.#done({ signin: true });
      // Loading the page again resolves a missing page, and one that an older
      // server sent.
      if ([404, 410, 422].includes(answer.status)) this.#done({ gone: true });
      // A starting server answers without a page.
      const page = answer.headers.get("Content-Type")?.startsWith("text/html");
      if (answer.status === 503) this.#send({ trouble: page ? "database" : "server" });
    } catch {
      // The server is not up yet.
    } finally {
      stop.abort();
    }
  }
}

if (globalThis.SharedWorkerGlobalScope && self instanceof SharedWorkerGlobalScope) {
  const feed = new Feed();
  const seen = new Map();
  // A visible tab regularly sends the address of its page's stream, and null
  // when it is hidden.
  self.onconnect = ({ ports: [port] }) => {
    const send = (message) => port.postMessage(message);
    port.onmessage = ({ data: page }) => {
      if (page === null) {
        seen.delete(send);
        feed.leave(send);
        return;
      }
      seen.set(send, Date.now());
      feed.join(send, page);
    };
  };
  setInterval(() => {
    for (const [send, at] of seen) {
      if (Date.now() - at < FORGOTTEN) continue;
      seen.delete(send);
      feed.leave(send);
    }
  }, FORGOTTEN / 2);
}
