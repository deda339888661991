// Pointer and keyboard on the timeline, and the tip that describes a rectangle.
//
// Contract: #timeline-canvas is focusable; #timeline-tip shows the rectangle
// under the pointer or the keyboard's selection; #timeline-said, a status,
// reads it out.
import { LEASED, LOST } from "./data.js";
import { axisTime, clamp, duration, number } from "./text.js";
import { AXIS } from "./window.js";

export class Input {
  #drag = null;

  constructor(data, window, painter, box) {
    Object.assign(this, { data, window, painter, box, canvas: painter.canvas, selection: painter.selection });
    this.tip = document.getElementById("timeline-tip");
    this.said = document.getElementById("timeline-said");
    window.anchor = () => {
      const { focused } = this.selection;
      return focused && clamp((focused.start + focused.end) / 2, window.shown.from, window.shown.to);
    };
    painter.addEventListener("painted", () => this.#showTip());
    addEventListener("scroll", () => this.tip.hidden || painter.draw(), { passive: true });
    box.addEventListener("scroll", () => painter.draw(), { passive: true });
    this.#listenToPointer();
    this.#listenToKeys();
  }

  // renew finds the selected rectangles again in a new answer.
  renew() {
    for (const name of ["pointed", "focused"]) this.selection[name] = this.data.again(this.selection[name]);
  }

  #open(r) {
    location.href = `/jobs/${r.job}/tasks/${r.first}`;
  }

  // ---- The pointer

  #listenToPointer() {
    const { canvas, data, window } = this;
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      if (data.loaded) window.zoom(Math.exp(clamp(event.deltaY, -100, 100) / 200), window.timeAt(this.#place(event).x));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !data.loaded) return;
      this.#drag = { x: event.clientX, ...window.shown, far: false, had: this.selection.pointed };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.#dragged(event)) return;
      this.#point(this.#find(this.#place(event)));
    });
    canvas.addEventListener("pointerup", (event) => {
      const { far, had } = this.#drag ?? { far: true };
      this.#drag = null;
      if (far) return;
      const found = this.#find(this.#place(event));
      // A first tap shows the tip, the next one opens the task.
      if (found && (event.pointerType !== "touch" || found === had)) this.#open(found);
      this.selection.pointed = found;
      this.painter.draw();
    });
    canvas.addEventListener("pointercancel", () => (this.#drag = null));
    canvas.addEventListener("pointerleave", () => this.#point(null));
  }

  // dragged moves the window with the pointer if it does not show everything.
  #dragged(event) {
    const drag = this.#drag;
    if (!drag) return false;
    const by = event.clientX - drag.x;
    drag.far ||= Math.abs(by) > 4;
    if (!drag.far || !this.window.view) return false;
    const shift = (-by / this.window.room) * (drag.to - drag.from);
    this.window.show(drag.from + shift, drag.to + shift);
    return true;
  }

  #place(event) {
    const at = this.canvas.getBoundingClientRect();
    return { x: event.clientX - at.left, y: event.clientY - at.top };
  }

  #point(r) {
    if (r === this.selection.pointed) return;
    this.selection.pointed = r;
    this.painter.draw();
  }

  // find returns the rectangle at a point. Failures take precedence over
  // neighbours, and done ones over those below.
  #find({ x, y }) {
    const { window } = this;
    if (x < window.gutter) return null;
    const row = Math.floor((y - AXIS) / this.painter.rowHeight);
    const reach = (2 * window.span) / window.room;
    const t = window.timeAt(x);
    let best = null;
    let rank = -1;
    for (const r of this.data.rects) {
      if (r.row.y !== row || r.start > t + reach || r.end < t - reach) continue;
      const inside = r.start <= t && r.end >= t;
      const own = (r.failed ? 8 : 0) + (inside ? 4 : 0) + r.state;
      if (own > rank) [best, rank] = [r, own];
    }
    return best;
  }

  // ---- The tip

  #describe(r) {
    const { ofJob, names } = this.data;
    const took = r.end - r.start;
    const lines = ofJob ? [] : [names.get(r.job) ?? r.job];
    lines.push(r.first === r.last ? `task ${number(r.first)}` : `tasks ${number(r.first)} to ${number(r.last)}`);
    const tasks = r.count === 1 ? "1 task" : `${number(r.count)} tasks`;
    lines.push(`${r.chunks === 1 ? "1 chunk" : `${number(r.chunks)} chunks`}, ${tasks}, on ${r.row.label}`);
    const at = ofJob ? `, from ${axisTime(r.start, Math.max(took / 10, 1), ofJob)}` : "";
    if (r.state === LEASED) lines.push(`claimed, running for ${duration(took)}`);
    else if (r.state === LOST) lines.push(`lost with its node after ${duration(took)}, run again`);
    else if (r.count === 0) lines.push(`returned its tasks after ${duration(took)}`);
    else if (r.chunks === 1) lines.push(`took ${duration(took)}${at}`);
    else lines.push(`${duration(took)}${at}, busy ${Math.min(Math.round((100 * r.busy) / Math.max(took, 0.001)), 999)} % of it`);
    if (r.failed) lines.push(`✕ ${number(r.failed)} failed`);
    return lines;
  }

  #showTip() {
    const { box, painter, selection, tip, window } = this;
    const r = selection.pointed ?? (document.activeElement === this.canvas ? selection.focused : null);
    tip.hidden = !r;
    if (!r) return;
    const text = this.#describe(r).join("\n");
    if (tip.textContent !== text) tip.textContent = text;
    tip.classList.toggle("bad", r.failed > 0);
    const { width, gutter } = window;
    const { x, w } = painter.area(r, 0);
    const top = AXIS + r.row.y * painter.rowHeight - box.scrollTop;
    const middle = (clamp(x, gutter, width) + clamp(x + w, gutter, width)) / 2;
    const edge = box.getBoundingClientRect();
    const below = edge.top + top + painter.rowHeight + 8 + tip.offsetHeight < innerHeight || edge.top + top < tip.offsetHeight + 60;
    tip.style.left = `${edge.left + clamp(middle - tip.offsetWidth / 2, 4, Math.max(width - tip.offsetWidth - 4, 4))}px`;
    tip.style.top = `${edge.top + (below ? top + painter.rowHeight + 6 : top - tip.offsetHeight - 6)}px`;
  }

  // ---- The keyboard

  #listenToKeys() {
    const { window } = this;
    const keys = {
      ArrowRight: (shift) => (shift ? window.pan(0.2) : this.#walk(1)),
      ArrowLeft: (shift) => (shift ? window.pan(-0.2) : this.#walk(-1)),
      ArrowDown: () => this.#climb(1),
      ArrowUp: () => this.#climb(-1),
      Home: () => this.#end(0),
      End: () => this.#end(-1),
      "+": () => window.zoom(0.5),
      "=": () => window.zoom(0.5),
      "-": () => window.zoom(2),
      "_": () => window.zoom(2),
      0: () => window.reset(),
      Enter: () => this.selection.focused && this.#open(this.selection.focused),
    };
    this.canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.data.loaded) return;
      const act = keys[event.key];
      if (!act) return;
      event.preventDefault();
      act(event.shiftKey);
    });
    for (const name of ["focus", "blur"]) this.canvas.addEventListener(name, () => this.painter.draw());
  }

  // walk moves along a row.
  #walk(by) {
    const { rects } = this.data;
    const { focused } = this.selection;
    if (!focused) {
      const { from, to } = this.window.shown;
      this.#focus(rects.find((r) => r.end >= from && r.start <= to) ?? rects[0]);
      return;
    }
    const next = rects[rects.indexOf(focused) + by];
    if (next?.row === focused.row) this.#focus(next);
  }

  // climb moves to the nearest rectangle of the next row that has any.
  #climb(by) {
    const { rects, rows } = this.data;
    const { focused } = this.selection;
    if (!focused) {
      this.#walk(0);
      return;
    }
    const middle = (focused.start + focused.end) / 2;
    for (let y = focused.row.y + by; y >= 0 && y < rows.length; y += by) {
      let best = null;
      for (const r of rects) {
        if (r.row.y !== y) continue;
        const off = Math.max(r.start - middle, middle - r.end, 0);
        if (!best || off < best.off) best = { r, off };
      }
      if (best) return this.#focus(best.r);
    }
  }

  // end moves to the first (0) or last (-1) rectangle of the row.
  #end(which) {
    const { rects } = this.data;
    this.#focus(rects.filter((r) => r.row === (this.selection.focused ?? rects[0])?.row).at(which));
  }

  #focus(r) {
    if (!r) return;
    this.selection.focused = r;
    this.selection.pointed = null;
    this.window.bring(r);
    const { box, painter } = this;
    const y = r.row.y * painter.rowHeight;
    box.scrollTop = clamp(box.scrollTop, y + AXIS + painter.rowHeight + 12 - box.clientHeight, y);
    this.said.textContent = this.#describe(r).join(", ");
    painter.draw();
  }
}
