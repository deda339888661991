// Decides when the timeline requests data: all of it when the window changes,
// and only what began since while the timeline grows.
//
// Contract: the page dispatches "patched" on the document after each update
// from the server.
import { clamp } from "./text.js";

export class Loader extends EventTarget {
  #loading = null; // aborts the current request
  #timer = 0;
  #settling = 0;
  #earliest = 0; // time of the earliest next request
  #near = false; // the canvas is in sight, or almost
  #stale = true; // new data may exist
  #whole = true; // the whole window must be requested again

  constructor(data, window, box) {
    super();
    this.data = data;
    this.window = window;
    new IntersectionObserver((entries) => {
      this.#near = entries.at(-1).isIntersecting;
      if (this.#near) this.wake(0);
    }, { rootMargin: "200px" }).observe(box);
    document.addEventListener("patched", () => {
      if (!data.growing && data.ofJob) this.#whole = true; // it has ended: fetch all of it once more
      this.#stale = true;
      this.wake(0);
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.#stale ||= data.growing;
      this.wake(0);
    });
    window.addEventListener("moved", () => {
      clearTimeout(this.#settling);
      this.#settling = setTimeout(() => this.#reload(), 120);
    });
  }

  // wake schedules a request: at least half a second after the last answer, and
  // only while the canvas is visible.
  wake(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (document.hidden || !this.#near || !this.window.width || this.#loading || !(this.#stale || this.#whole)) return;
      const { ofJob, loaded, asked, since } = this.data;
      const all = this.#whole || !ofJob || !loaded || this.window.tooCoarse;
      if (!all && asked && asked.to < since) return; // nothing there changes any more
      this.#stale = this.#whole = false;
      this.#ask(!all);
    }, Math.max(after, this.#earliest - performance.now(), 0));
  }

  #reload() {
    if (!this.window.needsMore) return;
    this.#whole = true;
    this.#loading?.abort();
    this.#loading = null;
    this.#earliest = 0;
    this.wake(0);
  }

  // ask fetches a window: all of it, or only the news of the present one.
  async #ask(news) {
    this.#loading?.abort();
    const stop = new AbortController();
    this.#loading = stop;
    const { data } = this;
    const began = performance.now();
    try {
      const taken = await data.fetch({ ...this.#question(news), news, signal: stop.signal });
      if (this.#loading !== stop) return;
      if (!taken) {
        this.#loading = null;
        this.#ask(false);
        return;
      }
      data.failing = false;
    } catch {
      if (stop.signal.aborted) return;
      data.failing = true;
    }
    if (this.#loading === stop) this.#loading = null;
    // A slow server gets fewer requests.
    this.#earliest = performance.now() + Math.max(data.ofJob ? 500 : 1000, 4 * (performance.now() - began));
    this.#stale ||= data.growing && !data.ofJob;
    if (data.failing) this.#whole = true;
    this.wake(data.failing ? 2000 : 0);
    this.dispatchEvent(new Event("answered"));
  }

  #question(news) {
    const { asked, now, home, resolution } = this.data;
    const target = news ? asked : this.window.wanted;
    let width;
    if (news) {
      const span = (target ? target.to - target.from : now - home.from) * 1.02;
      width = span / resolution;
    } else {
      width = this.window.pixels * (target ? (target.to - target.from) / this.window.span : 1);
    }
    return { target, width: clamp(Math.ceil(width), 1, 10000) };
  }
}
