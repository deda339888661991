// When the timeline asks the server: anew when the window changes, and while
// something may be added only for what began since.
//
// Contract: the page dispatches "patched" on the document whenever the server
// has sent new parts of it.
import { clamp } from "./text.js";

export class Loader extends EventTarget {
  #loading = null; // aborts the question on its way
  #timer = 0;
  #settling = 0;
  #earliest = 0; // when the next question may be asked
  #near = false; // the canvas is in sight, or almost
  #stale = true; // there may be something new
  #whole = true; // the window must be asked for anew

  constructor(data, window, box) {
    super();
    this.data = data;
    this.window = window;
    new IntersectionObserver((entries) => {
      this.#near = entries.at(-1).isIntersecting;
      if (this.#near) this.wake(0);
    }, { rootMargin: "200px" }).observe(box);
    document.addEventListener("patched", () => {
      if (!data.growing && data.ofJob) this.#whole = true; // it has ended: once more, all of it
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

  // wake asks soon: not before the last answer is half a second old, and only
  // while somebody can see it.
  wake(after) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (document.hidden || !this.#near || !this.window.width || this.#loading || !(this.#stale || this.#whole)) return;
      const { ofJob, loaded, asked, since } = this.data;
      const all = this.#whole || !ofJob || !loaded || this.window.tooCoarse;
      if (!all && asked && asked.to < since) return; // nothing there will change
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

  // ask fetches a window: all of it, or only what is new in the one at hand.
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
    // A slow server is asked less often.
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
