// The window of the timeline: the visible part of the time, and the place of a
// time on the canvas.
//
// Contract: buttons anywhere on the page with data-timeline in, out or reset
// change it.
import { axisTime, clamp } from "./text.js";

export const AXIS = 30; // height of the axis
const EDGE = 14; // free space on the right
const SHORTEST = 1; // least length of a window in ms
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];

export class Window extends EventTarget {
  view = null; // the visible part: {from, to}, or null for all
  width = 0; // of the canvas, in pixels of the page
  gutter = 0; // the labels' share of it

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

  // span is the length of the visible part.
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

  // pixels is the number of rectangles that fit side by side on a row.
  get pixels() {
    const room = Math.max(Math.round(this.room * Math.min(devicePixelRatio, 2)), 100);
    return Math.max(Math.min(room, Math.floor(12000 / Math.max(this.data.rows.length, 1))), 50);
  }

  // wanted is the window to request: more than is visible, so that small moves
  // need no request; null for all.
  get wanted() {
    if (!this.view) return null;
    const { home, first, growing, now } = this.data;
    const right = growing ? now : home.to;
    return {
      from: Math.max(this.view.from - this.span / 2, Math.min(first, home.from)),
      to: Math.max(Math.min(this.view.to + this.span / 2, right), this.view.from + SHORTEST),
    };
  }

  // needsMore reports whether the present rectangles do not fill the visible
  // part, or are too coarse for it or, once everything is visible again, too
  // fine.
  get needsMore() {
    const { asked, home, resolution } = this.data;
    const v = this.shown;
    const had = asked ?? home;
    const covered = !this.view || (had.from <= v.from + 1 && had.to >= v.to - 1);
    const fine = resolution <= (1.5 * this.span) / this.pixels || resolution <= 0.001;
    return !(covered && fine && !(!this.view && asked));
  }

  // tooCoarse reports whether the window has grown so long that its rectangles,
  // merged for a much shorter one, far outnumber pixels.
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

  // zoom keeps the time at in place.
  zoom(factor, at = this.anchor?.() ?? (this.shown.from + this.shown.to) / 2) {
    const v = this.shown;
    this.show(at - (at - v.from) * factor, at + (v.to - at) * factor);
  }

  pan(share) {
    const by = share * this.span;
    this.show(this.shown.from + by, this.shown.to + by);
  }

  // bring moves the window so that it contains the rectangle.
  bring(r) {
    const { from, to } = this.shown;
    if (r.start >= from && r.end <= to) return;
    const span = this.span;
    if (r.end - r.start > span) this.show(r.start - span * 0.02, r.start + span * 0.98);
    else if (r.start < from) this.show(r.start - span * 0.1, r.start + span * 0.9);
    else this.show(r.end - span * 0.9, r.end + span * 0.1);
  }

  // marks returns the lines of the axis with their text.
  marks() {
    if (!this.data.loaded || !this.data.rows.length) return [];
    const v = this.shown;
    const most = Math.max(this.room / (this.width < 480 ? 72 : 96), 1);
    const step = STEPS.find((s) => this.span / s <= most) ?? Math.ceil(this.span / most / 864e5) * 864e5;
    // A job's time counts from its start, the time of all jobs from now.
    const zero = this.data.ofJob ? 0 : this.data.home.to;
    const slack = this.span / this.room;
    const list = [];
    for (let n = Math.ceil((v.from - zero - slack) / step); zero + n * step <= v.to + slack; n++) {
      list.push({ x: Math.round(this.x(zero + n * step)) + 0.5, text: axisTime(n * step, step, this.data.ofJob) });
    }
    return list;
  }
}
