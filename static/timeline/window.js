// The window of the timeline: which part of the time is shown, and where a time
// lies on the canvas.
//
// Contract: buttons anywhere on the page with data-timeline in, out or reset
// change it.
import { axisTime, clamp } from "./text.js";

export const AXIS = 30; // height of the axis
const EDGE = 14; // free space on the right
const SHORTEST = 1; // ms that a window has at least
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];

export class Window extends EventTarget {
  view = null; // what is shown: {from, to}, or null for all
  width = 0; // of the canvas, in pixels of the page
  gutter = 0; // what the labels take of it

  constructor(data) {
    super();
    this.data = data;
    document.addEventListener("click", (event) => {
      const button = event.target.closest?.("[data-timeline]");
      if (!button || !data.loaded) return;
      if (button.dataset.timeline === "reset") this.reset();
      else this.zoom(button.dataset.timeline === "in" ? 0.5 : 2);
    });
  }

  get shown() {
    return this.view ?? this.data.home;
  }

  // span is how long the shown part is.
  get span() {
    return this.shown.to - this.shown.from;
  }

  // room is the width of the rows.
  get room() {
    return this.width - EDGE - this.gutter;
  }

  x(t) {
    return this.gutter + ((t - this.shown.from) / this.span) * this.room;
  }

  timeAt(x) {
    return this.shown.from + ((x - this.gutter) / this.room) * this.span;
  }

  // pixels is how many rectangles may stand side by side on a row.
  get pixels() {
    const room = Math.max(Math.round(this.room * Math.min(devicePixelRatio, 2)), 100);
    return Math.max(Math.min(room, Math.floor(12000 / Math.max(this.data.rows.length, 1))), 50);
  }

  // wanted is what to ask for: more than is shown, so that a little way to
  // either side needs no question; null for all.
  get wanted() {
    if (!this.view) return null;
    const { home, first, growing, now } = this.data;
    const right = growing ? now : home.to;
    return {
      from: Math.max(this.view.from - this.span / 2, Math.min(first, home.from)),
      to: Math.max(Math.min(this.view.to + this.span / 2, right), this.view.from + SHORTEST),
    };
  }

  // needsMore reports whether the rectangles at hand do not fill what is shown,
  // or are too coarse or, once all is shown again, too fine for it.
  get needsMore() {
    const { asked, home, resolution } = this.data;
    const v = this.shown;
    const had = asked ?? home;
    const covered = !this.view || (had.from <= v.from + 1 && had.to >= v.to - 1);
    const fine = resolution <= (1.5 * this.span) / this.pixels || resolution <= 0.001;
    return !(covered && fine && !(!this.view && asked));
  }

  // tooCoarse reports whether the window has become so long that its rectangles,
  // merged for a much shorter one, are many more than pixels.
  get tooCoarse() {
    const { asked, now, home, resolution } = this.data;
    return !asked && (now - home.from) / resolution > 2.5 * this.pixels;
  }

  show(from, to) {
    const { home, first, growing, now } = this.data;
    const low = Math.min(first, home.from);
    const high = growing ? Math.max(now, home.to) : home.to;
    const span = clamp(to - from, SHORTEST, Math.max(high - low, SHORTEST));
    const left = clamp(from, low, Math.max(high - span, low));
    if (span >= (home.to - home.from) * 0.999 && left <= home.from && low >= home.from) {
      this.reset();
      return;
    }
    this.view = { from: left, to: left + span };
    this.dispatchEvent(new Event("moved"));
  }

  reset() {
    if (!this.view) return;
    this.view = null;
    this.dispatchEvent(new Event("moved"));
  }

  // zoom keeps the time at in its place.
  zoom(factor, at = this.anchor?.() ?? (this.shown.from + this.shown.to) / 2) {
    const v = this.shown;
    this.show(at - (at - v.from) * factor, at + (v.to - at) * factor);
  }

  pan(share) {
    const by = share * this.span;
    this.show(this.shown.from + by, this.shown.to + by);
  }

  // bring moves the window so that the rectangle is in it.
  bring(r) {
    const { from, to } = this.shown;
    if (r.start >= from && r.end <= to) return;
    const span = this.span;
    if (r.end - r.start > span) this.show(r.start - span * 0.02, r.start + span * 0.98);
    else if (r.start < from) this.show(r.start - span * 0.1, r.start + span * 0.9);
    else this.show(r.end - span * 0.9, r.end + span * 0.1);
  }

  // marks are the places of the axis that have a line, with their text.
  marks() {
    if (!this.data.loaded || !this.data.rows.length) return [];
    const v = this.shown;
    const most = Math.max(this.room / (this.width < 480 ? 72 : 96), 1);
    const step = STEPS.find((s) => this.span / s <= most) ?? Math.ceil(this.span / most / 864e5) * 864e5;
    // A job's time counts from its start, that of all jobs from now.
    const zero = this.data.ofJob ? 0 : this.data.home.to;
    const slack = this.span / this.room;
    const list = [];
    for (let n = Math.ceil((v.from - zero - slack) / step); zero + n * step <= v.to + slack; n++) {
      list.push({ x: Math.round(this.x(zero + n * step)) + 0.5, text: axisTime(n * step, step, this.data.ofJob) });
    }
    return list;
  }
}
