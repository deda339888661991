// Paints the timeline on its canvas.
//
// Contract: #timeline-box holds #timeline-canvas and scrolls it; #timeline-span
// receives the length of the visible part. The heights of rows and axis equal
// those of TimelineView.height in views/timeline.go. The canvas counts its
// content in data-rows, data-rects and data-drawn.
import { DONE, LEASED, LOST } from "./data.js";
import { clamp, duration, number } from "./text.js";
import { AXIS } from "./window.js";

const HEIGHTS = [[2, 36], [4, 28], [8, 22], [24, 16], [64, 10], [192, 6], [Infinity, 4]];

export class Painter extends EventTarget {
  rowHeight = 0;
  selection = { pointed: null, focused: null }; // rectangles with an outline
  #scale = 1; // canvas pixels per page pixel
  #frame = 0; // the requested animation frame

  constructor(data, window, colours, box) {
    super();
    this.data = data;
    this.window = window;
    this.colours = colours;
    this.box = box;
    this.canvas = document.getElementById("timeline-canvas");
    this.span = document.getElementById("timeline-span");
    this.paper = this.canvas.getContext("2d");
    colours.addEventListener("changed", () => this.draw());
    new ResizeObserver(() => this.measure()).observe(box);
  }

  measure() {
    this.window.width = this.box.clientWidth;
    this.draw();
  }

  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.window.width) this.#paint();
    });
  }

  #paint() {
    const { data, paper, window } = this;
    const { rows, rects } = data;
    const label = this.#size();
    paper.clearRect(0, 0, window.width, this.height);
    paper.textBaseline = "middle";
    this.canvas.dataset.rows = rows.length;
    this.canvas.dataset.rects = data.loaded ? rects.length : "";
    this.#paintRows(label);
    const marks = window.marks();
    paper.beginPath();
    for (const { x } of marks) {
      paper.moveTo(x, AXIS - 6);
      paper.lineTo(x, AXIS + rows.length * this.rowHeight);
    }
    paper.strokeStyle = this.colours.of("line");
    paper.lineWidth = 1;
    paper.stroke();

    // Leased chunks are lowest, so that a chunk that proves to be an earlier
    // one covers them. Lost ones follow, then done ones.
    paper.save();
    paper.beginPath();
    paper.rect(window.gutter, 0, window.room + 1, this.height);
    paper.clip();
    const { from, to } = window.shown;
    const visible = rects.filter((r) => r.end >= from && r.start <= to);
    for (const state of [LEASED, LOST, DONE]) {
      for (const r of visible) if (r.state === state) this.#block(r);
    }
    for (const r of visible) if (r.failed) this.#failures(r);
    const { pointed, focused } = this.selection;
    for (const r of [focused, pointed]) if (r) this.#outline(r, r === focused);
    paper.restore();
    this.#axis(marks);
    this.canvas.dataset.drawn = visible.length;
    this.span.textContent = data.loaded && rows.length ? this.#about() : "";
    this.dispatchEvent(new Event("painted"));
  }

  // size fits the canvas to the rows, and returns the function that formats
  // their labels.
  #size() {
    const { canvas, paper, window, data: { rows } } = this;
    const font = `12px ${getComputedStyle(this.box).fontFamily}`;
    paper.font = font;
    this.rowHeight = HEIGHTS.find(([most]) => rows.length <= most)[1];
    this.pad = this.rowHeight > 12 ? 3 : this.rowHeight > 6 ? 1 : 0.5;
    const narrow = window.width < 480;
    const mixed = rows.length > 0 && (rows[0].core === null) !== (rows.at(-1).core === null);
    // "host core 12" becomes "12", or "c12" beside "l3".
    const label = (row) => (narrow ? row.label.replace(/^.*?(\w)\w* (\d+)$/, mixed ? "$1$2" : "$2") : row.label);
    window.gutter = Math.ceil(rows.reduce((most, row) => Math.max(most, paper.measureText(label(row)).width), narrow ? 10 : 40)) + 20;
    window.gutter = Math.min(window.gutter, window.width / 3);
    this.height = AXIS + Math.max(rows.length, 1) * this.rowHeight + 6;
    const scale = (this.#scale = Math.min(devicePixelRatio, Math.sqrt(3e7 / (window.width * this.height))));
    const [wide, high] = [Math.round(window.width * scale), Math.round(this.height * scale)];
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide;
      canvas.height = high;
      canvas.style.height = `${this.height}px`;
    }
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    paper.font = font;
    return label;
  }

  // paintRows draws the rows and as many labels as fit.
  #paintRows(label) {
    const { data, paper, window: { gutter, room }, rowHeight, pad } = this;
    const every = Math.ceil(15 / rowHeight);
    for (const row of data.rows) {
      const y = AXIS + row.y * rowHeight;
      paper.fillStyle = this.colours.of("sunken");
      paper.fillRect(gutter, y + pad, room, rowHeight - 2 * pad);
      if (row.y % every) continue;
      paper.fillStyle = this.colours.of("quiet");
      paper.textAlign = "right";
      paper.fillText(label(row), gutter - 10, y + rowHeight / 2, gutter - 14);
    }
    if (data.rows.length) return;
    paper.fillStyle = this.colours.of("quiet");
    paper.textAlign = "left";
    paper.fillText(data.failing ? "The server does not answer. Retrying" : data.loaded ? "Nothing has run yet" : "Loading", 14, AXIS + rowHeight / 2);
  }

  #about() {
    const { home, first, oneIn, failing } = this.data;
    const whole = home.to - Math.min(first, home.from);
    let text = duration(this.window.span);
    if (this.window.span < whole * 0.999) text += ` of ${duration(whole)}`;
    if (oneIn > 1.5) text += `, one chunk in ${number(Math.round(oneIn))}`;
    if (failing) text += ", the server does not answer";
    return text;
  }

  // area returns a rectangle's place in whole pixels. Groups of chunks touch
  // each other, and their height is their share of busy time. A single chunk
  // has a gap to the next if there is space.
  area(r, pad = this.pad) {
    const scale = this.#scale;
    const left = Math.floor(this.window.x(r.start) * scale) / scale;
    const right = Math.max(Math.ceil(this.window.x(r.end) * scale), left * scale + 1) / scale;
    const all = this.rowHeight - 2 * pad;
    let w = right - left;
    let h = all;
    if (r.chunks > 1) h = Math.max(all * clamp((r.busy * this.data.oneIn) / Math.max(r.end - r.start, 0.001), 0, 1), Math.min(2, all));
    else if (w > 4) w = Math.floor(this.window.x(r.end) * scale) / scale - left - 1;
    return { x: left, y: AXIS + r.row.y * this.rowHeight + pad + all - h, w, h };
  }

  #block(r) {
    const { paper } = this;
    const { x, y, w, h } = this.area(r);
    const fill = this.colours.of(this.colours.ink(r.job));
    paper.fillStyle = r.state === DONE ? fill : this.colours.of("surface");
    paper.fillRect(x, y, w, h);
    if (r.state === DONE) return;
    paper.lineWidth = 1;
    if (r.state === LEASED) {
      paper.globalAlpha = 0.25;
      paper.fillStyle = fill;
      paper.fillRect(x, y, w, h);
      paper.globalAlpha = 1;
      paper.strokeStyle = fill;
      paper.setLineDash([3, 2]);
      paper.strokeRect(x + 0.5, y + 0.5, Math.max(w - 1, 0.5), h - 1);
      paper.setLineDash([]);
      return;
    }
    paper.strokeStyle = this.colours.of("cancelled");
    paper.beginPath();
    paper.rect(x + 0.5, y + 0.5, Math.max(w - 1, 0.5), h - 1);
    const step = Math.max(h, 6);
    for (let at = x; w > 5 && at < x + w; at += step) {
      const to = Math.min(at + step, x + w);
      paper.moveTo(at, y);
      paper.lineTo(to, y + ((to - at) / step) * h);
      paper.moveTo(at, y + h);
      paper.lineTo(to, y + h - ((to - at) / step) * h);
    }
    paper.stroke();
  }

  // failures marks failed tasks visibly on any colour and at any width: a cap
  // at the top of the row, with a tooth that points down.
  #failures(r) {
    const { paper, rowHeight } = this;
    const { x, w } = this.area(r);
    const top = AXIS + r.row.y * rowHeight + this.pad - (rowHeight > 6 ? 1 : 0);
    const wide = Math.max(w, 3);
    const left = x - (wide - w) / 2;
    const cap = rowHeight > 12 ? 4 : rowHeight > 6 ? 3 : 1.5;
    paper.fillStyle = this.colours.of("surface");
    paper.fillRect(left - 0.5, top, wide + 1, cap + 1);
    paper.fillStyle = this.colours.of("failed");
    paper.fillRect(left, top, wide, cap);
    if (rowHeight <= 12) return;
    const middle = left + wide / 2;
    const tooth = Math.min(4, Math.max(wide / 2, 2.5));
    const tip = new Path2D();
    tip.moveTo(middle - tooth, top + cap - 0.5);
    tip.lineTo(middle + tooth, top + cap - 0.5);
    tip.lineTo(middle, top + cap + tooth + 1);
    tip.closePath();
    paper.strokeStyle = this.colours.of("surface");
    paper.lineWidth = 1.5;
    paper.stroke(tip);
    paper.fill(tip);
    paper.fillRect(left, top, wide, cap);
  }

  #outline(r, strong) {
    const { x, w } = this.area(r);
    const y = AXIS + r.row.y * this.rowHeight + this.pad;
    this.paper.lineWidth = strong ? 2 : 1;
    this.paper.strokeStyle = this.colours.of(strong ? "accent" : "ink");
    this.paper.strokeRect(x - 1.5, y - 0.5, w + 3, this.rowHeight - 2 * this.pad + 1);
  }

  // axis draws the axis, which stays visible while the rows scroll.
  #axis(marks) {
    const { paper, window: { width, gutter } } = this;
    const top = this.box.scrollTop;
    paper.fillStyle = this.colours.of("surface");
    paper.fillRect(0, top, width, AXIS - 5);
    paper.fillStyle = this.colours.of("quiet");
    paper.textAlign = "left";
    for (const { x, text } of marks) {
      const w = paper.measureText(text).width;
      paper.fillText(text, clamp(x - w / 2, gutter, width - w - 2), top + 15);
    }
  }
}
