// The task stream: what ran where and when, on a canvas. The server merges what
// would fall into one pixel; this asks anew when the window changes, and while
// the job runs only for what began since.
const box = document.getElementById("stream-box");
const section = document.getElementById("stream");

const LEASED = 0;
const DONE = 1;
const LOST = 2;
const RING = "abcdefghijkl";
const AXIS = 30; // height of the axis
const EDGE = 14; // what is left free on the right
const SHORTEST = 1; // ms that a window has at least
const number = (n) => n.toLocaleString("en-US");
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

if (box) start();

function start() {
  const canvas = document.getElementById("stream-canvas");
  const tip = document.getElementById("stream-tip");
  const said = document.getElementById("stream-said");
  const read = document.getElementById("stream-span");
  const paper = canvas.getContext("2d");
  const one = !box.dataset.url.includes("seconds="); // of one job, whose time counts from its start

  // All times are milliseconds after origin, which is milliseconds since 1970.
  let origin = null;
  let rows = []; // in the order of the server, each with its y when drawn
  const rowOf = new Map();
  let rects = [];
  const names = new Map(); // of jobs, by id
  let home = { from: 0, to: 1 }; // the whole window
  let first = 0; // of the job, retries included
  let view = null; // what is looked at; null for home
  let asked = null; // the window that rects are of: {from, to} or null for home
  let resolution = 0;
  let since = 0;
  let now = 0; // of the server, when it answered last
  let nowAt = 0; // and by our own clock
  let oneIn = 1;
  let loaded = false;
  let trouble = false;

  // Geometry of what is drawn.
  let width = 0;
  let gutter = 0;
  let rowHeight = 0;
  let scale = 1; // pixels of the canvas to one of the page
  let pointed = null; // the rectangle under the pointer
  let focused = null; // the one that the keyboard is at
  let drawn = 0; // a frame that is waited for

  const growing = () => section.hasAttribute("data-growing");
  const shown = () => view ?? home;
  const iso = (t) => new Date(Math.floor(origin + t)).toISOString();

  // Colours of the style sheet, as the canvas understands them.
  const probe = document.createElement("i");
  probe.hidden = true;
  box.append(probe);
  let colours = new Map();
  function colour(name) {
    let value = colours.get(name);
    if (!value) {
      probe.style.color = `var(--${name})`;
      value = getComputedStyle(probe).color;
      colours.set(name, value);
    }
    return value;
  }

  // ink is the colour of a job: what the page has for it where it is or was in
  // hand, else what follows from its id.
  const inks = new Map();
  function readInks() {
    for (const { dataset } of document.querySelectorAll("[data-job][data-ink]")) inks.set(dataset.job, dataset.ink);
  }
  readInks();
  document.addEventListener("patched", readInks);
  const ink = (job) => inks.get(job) ?? `job-${RING[(parseInt(job.slice(-6), 16) || 0) % RING.length]}`;

  // ---- What the server answers

  let loading = null; // aborts the question on its way
  let timer = 0;
  let earliest = 0; // when the next may be asked

  function pixels() {
    const room = Math.max(Math.round((width - EDGE - gutter) * Math.min(devicePixelRatio, 2)), 100);
    return Math.max(Math.min(room, Math.floor(12000 / Math.max(rows.length, 1))), 50);
  }

  // window is what to ask for: more than is looked at, so that a little way to
  // either side needs no question.
  function wanted() {
    if (!view) return null;
    const span = view.to - view.from;
    const right = growing() ? estimate() : home.to;
    return { from: Math.max(view.from - span / 2, Math.min(first, home.from)), to: Math.max(Math.min(view.to + span / 2, right), view.from + SHORTEST) };
  }
  const estimate = () => now + performance.now() - nowAt;

  // ask fetches a window: all of it, or only what is new in the one at hand.
  async function ask(news) {
    loading?.abort();
    const stop = new AbortController();
    loading = stop;
    const target = news ? asked : wanted();
    const query = new URLSearchParams(target ? { from: iso(target.from), to: iso(target.to + 1) } : {});
    if (news) {
      const span = (target ? target.to - target.from : estimate() - home.from) * 1.02;
      query.set("width", clamp(Math.ceil(span / resolution), 1, 10000));
      query.set("since", iso(since));
    } else {
      const span = view ? view.to - view.from : 1;
      query.set("width", clamp(Math.ceil((pixels() * (target ? target.to - target.from : span)) / span), 1, 10000));
    }
    const began = performance.now();
    try {
      const answer = await fetch(box.dataset.url + (box.dataset.url.includes("?") ? "&" : "?") + query, { signal: stop.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      const got = await answer.json();
      if (loading !== stop) return;
      if (news && got.resolution_ms !== resolution) {
        loading = null;
        ask(false);
        return;
      }
      take(got, target, news);
      trouble = false;
    } catch (err) {
      if (stop.signal.aborted) return;
      trouble = true;
    }
    if (loading === stop) loading = null;
    // Whoever is slow is asked less often.
    earliest = performance.now() + Math.max(one ? 500 : 1000, 4 * (performance.now() - began));
    stale ||= growing() && !one;
    if (trouble) whole = true;
    wake(trouble ? 2000 : 0);
    draw();
  }

  function take(got, target, news) {
    const base = Date.parse(got.base);
    if (origin === null || !rects.length) origin = base; // a queued job has not started yet
    const shift = base - origin;
    now = got.now_ms + shift;
    nowAt = performance.now();
    resolution = got.resolution_ms;
    since = got.next_since_ms + shift;
    oneIn = got.one_in;
    if (!target) home = { from: got.from_ms + shift, to: got.to_ms + shift };
    else if (growing()) home.to = Math.max(home.to, now);
    first = got.first_ms + shift;
    asked = target;
    for (const job of got.jobs) names.set(job.id, job.name);

    if (!news) {
      rects = [];
      if (!one) {
        rows = [];
        rowOf.clear();
      }
    }
    const mine = got.rows.map((row) => {
      const key = [row.host, row.core, row.slot].join("|");
      let known = rowOf.get(key);
      if (!known) {
        known = { ...row, key };
        rowOf.set(key, known);
        rows.push(known);
      }
      return known;
    });
    rows.sort((a, b) => (a.host < b.host ? -1 : a.host > b.host ? 1 : (a.slot ?? -1) - (b.slot ?? -1) || (a.core ?? -1) - (b.core ?? -1)));
    const hosts = new Set(rows.map((row) => row.host)).size;
    rows.forEach((row, y) => {
      row.y = y;
      row.short = row.core !== null ? `core ${row.core}` : `${one ? "lane" : "slot"} ${row.slot}`;
      row.label = hosts > 1 ? `${row.host} ${row.short}` : row.short;
    });

    if (news) rects = rects.filter((r) => r.start < got.since_ms + shift && r.state !== LEASED);
    const c = got.rects;
    for (let i = 0; i < c.row.length; i++) {
      rects.push({
        row: mine[c.row[i]], job: got.jobs[c.job[i]].id, state: c.state[i],
        start: c.start_ms[i] + shift, end: c.end_ms[i] + shift, busy: c.busy_ms[i],
        first: c.first[i], last: c.last[i], count: c.count[i], chunks: c.chunks[i], failed: c.failed[i],
      });
    }
    rects.sort((a, b) => a.row.y - b.row.y || a.start - b.start || b.state - a.state);
    pointed = again(pointed);
    focused = again(focused);
    loaded = true;
    if (!one) tellJobs();
  }

  // again finds a rectangle among new ones.
  function again(old) {
    if (!old) return null;
    let best = null;
    for (const r of rects) {
      if (r.row.key !== old.row.key || r.job !== old.job || r.start > old.end || r.end < old.start) continue;
      if (!best || Math.abs(r.start - old.start) < Math.abs(best.start - old.start)) best = r;
    }
    return best;
  }

  // tellJobs names the jobs and their colours.
  function tellJobs() {
    const seen = new Set(rects.map((r) => r.job));
    const list = document.getElementById("stream-jobs");
    const most = 24;
    const items = [...seen].sort().slice(0, most).map((job) => {
      const item = document.createElement("li");
      item.innerHTML = '<svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" rx="2"></rect></svg><a></a>';
      item.firstChild.firstChild.setAttribute("class", ink(job));
      item.lastChild.href = `/jobs/${job}`;
      item.lastChild.textContent = names.get(job);
      return item;
    });
    if (seen.size > most) items.push(Object.assign(document.createElement("li"), { textContent: `and ${seen.size - most} more` }));
    if (list.innerHTML !== items.map((i) => i.outerHTML).join("")) list.replaceChildren(...items);
  }

  // ---- When to ask

  let near = false; // the canvas is in sight, or almost
  new IntersectionObserver((entries) => {
    near = entries.at(-1).isIntersecting;
    if (near) wake(0);
  }, { rootMargin: "200px" }).observe(box);

  let stale = true; // there may be something new
  let whole = true; // the window must be asked for anew
  // wake asks soon: not before the last answer is half a second old, and only
  // while somebody can see it.
  function wake(after) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.hidden || !near || !width || loading || !(stale || whole)) return;
      const all = whole || !one || !loaded || tooCoarse();
      if (!all && asked && asked.to < since) return; // nothing there will change
      stale = whole = false;
      ask(!all);
    }, Math.max(after, earliest - performance.now(), 0));
  }

  // tooCoarse is when the window has become so long that what is drawn has been
  // merged for a much shorter one, so that there are many more than pixels.
  function tooCoarse() {
    const span = asked ? asked.to - asked.from : estimate() - home.from;
    return !asked && span / resolution > 2.5 * pixels();
  }

  document.addEventListener("patched", () => {
    if (!growing() && one) whole = true; // it has ended: once more, all of it
    stale = true;
    wake(0);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    stale ||= growing();
    wake(0);
  });

  // ---- The window

  let settle = 0;
  function look(from, to) {
    const low = Math.min(first, home.from);
    const high = growing() ? Math.max(estimate(), home.to) : home.to;
    const span = clamp(to - from, SHORTEST, Math.max(high - low, SHORTEST));
    const left = clamp(from, low, Math.max(high - span, low));
    if (span >= (home.to - home.from) * 0.999 && left <= home.from && low >= home.from) {
      reset();
      return;
    }
    view = { from: left, to: left + span };
    moved();
  }
  function reset() {
    if (!view) return;
    view = null;
    moved();
  }
  function moved() {
    clearTimeout(settle);
    settle = setTimeout(() => {
      const v = shown();
      const had = asked ?? home;
      const covered = !view || (had.from <= v.from + 1 && had.to >= v.to - 1);
      const fine = resolution <= (1.5 * (v.to - v.from)) / pixels() || resolution <= 0.001;
      const tooFine = !view && asked;
      if (covered && fine && !tooFine) return;
      whole = true;
      loading?.abort();
      loading = null;
      earliest = 0;
      wake(0);
    }, 120);
    draw();
  }
  function zoom(factor, at) {
    const v = shown();
    at ??= focused ? clamp((focused.start + focused.end) / 2, v.from, v.to) : (v.from + v.to) / 2;
    look(at - (at - v.from) * factor, at + (v.to - at) * factor);
  }
  function pan(share) {
    const v = shown();
    const by = share * (v.to - v.from);
    look(v.from + by, v.to + by);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-stream]");
    if (!button || !loaded) return;
    if (button.dataset.stream === "reset") reset();
    else zoom(button.dataset.stream === "in" ? 0.5 : 2);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    if (loaded) zoom(Math.exp(clamp(event.deltaY, -100, 100) / 200), timeAt(place(event).x));
  }, { passive: false });

  // ---- Drawing

  const X = (t) => gutter + ((t - shown().from) / (shown().to - shown().from)) * (width - EDGE - gutter);
  const timeAt = (x) => shown().from + ((x - gutter) / (width - EDGE - gutter)) * (shown().to - shown().from);

  function measure() {
    width = box.clientWidth;
    draw();
  }
  new ResizeObserver(measure).observe(box);

  function draw() {
    drawn ||= requestAnimationFrame(() => {
      drawn = 0;
      paint();
    });
  }

  const heights = [[2, 36], [4, 28], [8, 22], [24, 16], [64, 10], [192, 6], [Infinity, 4]];

  function paint() {
    if (!width) return;
    const style = getComputedStyle(box);
    paper.font = `12px ${style.fontFamily}`;
    rowHeight = heights.find(([most]) => rows.length <= most)[1];
    const narrow = width < 480;
    const mixed = rows.length > 0 && (rows[0].core === null) !== (rows.at(-1).core === null);
    const label = (row) => (narrow ? row.short.replace(/^(.)\w+ /, mixed ? "$1" : "") : row.label);
    gutter = Math.ceil(rows.reduce((most, row) => Math.max(most, paper.measureText(label(row)).width), narrow ? 10 : 40)) + 20;
    gutter = Math.min(gutter, width / 3);
    const height = AXIS + Math.max(rows.length, 1) * rowHeight + 6;
    scale = Math.min(devicePixelRatio, Math.sqrt(3e7 / (width * height)));
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    paper.setTransform(scale, 0, 0, scale, 0, 0);
    paper.clearRect(0, 0, width, height);
    paper.font = `12px ${style.fontFamily}`;
    paper.textBaseline = "middle";
    canvas.dataset.rows = rows.length;
    canvas.dataset.rects = loaded ? rects.length : "";

    // Rows and their labels, as many of them as there is room for.
    const every = Math.ceil(15 / rowHeight);
    const pad = rowHeight > 12 ? 3 : rowHeight > 6 ? 1 : 0.5;
    for (const row of rows) {
      const y = AXIS + row.y * rowHeight;
      paper.fillStyle = colour("sunken");
      paper.fillRect(gutter, y + pad, width - EDGE - gutter, rowHeight - 2 * pad);
      if (row.y % every) continue;
      paper.fillStyle = colour("quiet");
      paper.textAlign = "right";
      paper.fillText(label(row), gutter - 10, y + rowHeight / 2, gutter - 14);
    }
    if (!rows.length) {
      paper.fillStyle = colour("quiet");
      paper.textAlign = "left";
      paper.fillText(trouble ? "The server does not answer; trying again" : loaded ? "Nothing has run yet" : "Loading", 14, AXIS + rowHeight / 2);
    }
    const marks = ticks();
    paper.beginPath();
    for (const { x } of marks) {
      paper.moveTo(x, AXIS - 6);
      paper.lineTo(x, AXIS + rows.length * rowHeight);
    }
    paper.strokeStyle = colour("line");
    paper.lineWidth = 1;
    paper.stroke();

    // What is in hand lies below, so that what turns out to have come before it
    // covers it; then what was lost, and what is done.
    paper.save();
    paper.beginPath();
    paper.rect(gutter, 0, width - EDGE - gutter + 1, height);
    paper.clip();
    const v = shown();
    const visible = rects.filter((r) => r.end >= v.from && r.start <= v.to);
    for (const state of [LEASED, LOST, DONE]) {
      for (const r of visible) if (r.state === state) block(r, pad);
    }
    for (const r of visible) if (r.failed) mark(r, pad);
    for (const r of [focused, pointed]) if (r) outline(r, r === focused, pad);
    paper.restore();
    axis(marks);
    canvas.dataset.drawn = visible.length;
    showTip();
    read.textContent = loaded && rows.length ? about(v) : "";
  }

  function about(v) {
    const whole = home.to - Math.min(first, home.from);
    let text = duration(v.to - v.from);
    if (v.to - v.from < whole * 0.999) text += ` of ${duration(whole)}`;
    if (oneIn > 1.5) text += `, one chunk in ${number(Math.round(oneIn))}`;
    if (trouble) text += ", the server does not answer";
    return text;
  }

  // area is where a rectangle lies, in whole pixels. Groups of chunks touch each
  // other, and are as high as their share of busy time; a chunk by itself is set
  // apart from the next where there is room for that.
  function area(r, pad) {
    const left = Math.floor(X(r.start) * scale) / scale;
    const right = Math.max(Math.ceil(X(r.end) * scale), left * scale + 1) / scale;
    const all = rowHeight - 2 * pad;
    let w = right - left;
    let h = all;
    if (r.chunks > 1) h = Math.max(all * clamp((r.busy * oneIn) / Math.max(r.end - r.start, 0.001), 0, 1), Math.min(2, all));
    else if (w > 4) w = Math.floor(X(r.end) * scale) / scale - left - 1;
    return { x: left, y: AXIS + r.row.y * rowHeight + pad + all - h, w, h };
  }

  function block(r, pad) {
    const { x, y, w, h } = area(r, pad);
    const fill = colour(ink(r.job));
    if (r.state === DONE) {
      paper.fillStyle = fill;
      paper.fillRect(x, y, w, h);
      return;
    }
    paper.lineWidth = 1;
    if (r.state === LEASED) {
      paper.fillStyle = colour("surface");
      paper.fillRect(x, y, w, h);
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
    paper.fillStyle = colour("surface");
    paper.fillRect(x, y, w, h);
    paper.strokeStyle = colour("cancelled");
    paper.beginPath();
    paper.rect(x + 0.5, y + 0.5, Math.max(w - 1, 0.5), h - 1);
    if (w > 5) {
      const step = Math.max(h, 6);
      for (let at = x; at < x + w; at += step) {
        const to = Math.min(at + step, x + w);
        paper.moveTo(at, y);
        paper.lineTo(to, y + ((to - at) / step) * h);
        paper.moveTo(at, y + h);
        paper.lineTo(to, y + h - ((to - at) / step) * h);
      }
    }
    paper.stroke();
  }

  // mark makes failures seen on any colour and at any width: a cap at the top of
  // the row, with a tooth that points down.
  function mark(r, pad) {
    const { x, w } = area(r, pad);
    const top = AXIS + r.row.y * rowHeight + pad - (rowHeight > 6 ? 1 : 0);
    const wide = Math.max(w, 3);
    const left = x - (wide - w) / 2;
    const cap = rowHeight > 12 ? 4 : rowHeight > 6 ? 3 : 1.5;
    paper.fillStyle = colour("surface");
    paper.fillRect(left - 0.5, top, wide + 1, cap + 1);
    paper.fillStyle = colour("failed");
    paper.fillRect(left, top, wide, cap);
    if (rowHeight <= 12) return;
    const middle = left + wide / 2;
    const tooth = Math.min(4, Math.max(wide / 2, 2.5));
    const tip = new Path2D();
    tip.moveTo(middle - tooth, top + cap - 0.5);
    tip.lineTo(middle + tooth, top + cap - 0.5);
    tip.lineTo(middle, top + cap + tooth + 1);
    tip.closePath();
    paper.strokeStyle = colour("surface");
    paper.lineWidth = 1.5;
    paper.stroke(tip);
    paper.fill(tip);
    paper.fillRect(left, top, wide, cap);
  }

  function outline(r, strong, pad) {
    const { x, w } = area(r, pad);
    const y = AXIS + r.row.y * rowHeight + pad;
    paper.lineWidth = strong ? 2 : 1;
    paper.strokeStyle = colour(strong ? "accent" : "ink");
    paper.strokeRect(x - 1.5, y - 0.5, w + 3, rowHeight - 2 * pad + 1);
  }

  // ---- The axis

  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];

  // ticks are the places of the axis that have a line, with what stands there.
  function ticks() {
    if (!loaded || !rows.length) return [];
    const v = shown();
    const span = v.to - v.from;
    const room = width < 480 ? 72 : 96;
    const most = Math.max((width - EDGE - gutter) / room, 1);
    const step = steps.find((s) => span / s <= most) ?? Math.ceil(span / most / 864e5) * 864e5;
    // Of one job from its start; of all from now.
    const zero = one ? 0 : home.to;
    const slack = span / (width - EDGE - gutter);
    const list = [];
    for (let n = Math.ceil((v.from - zero - slack) / step); zero + n * step <= v.to + slack; n++) {
      list.push({ x: Math.round(X(zero + n * step)) + 0.5, text: tick(n * step, step) });
    }
    return list;
  }

  // axis stays in sight when the rows are scrolled.
  function axis(list) {
    const top = box.scrollTop;
    paper.fillStyle = colour("surface");
    paper.fillRect(0, top, width, AXIS - 5);
    paper.fillStyle = colour("quiet");
    paper.textAlign = "left";
    for (const { x, text } of list) {
      const w = paper.measureText(text).width;
      paper.fillText(text, clamp(x - w / 2, gutter, width - w - 2), top + 15);
    }
  }

  const pad2 = (n) => String(n).padStart(2, "0");

  // tick is a time on the axis, with its unit.
  function tick(t, step) {
    if (!one && t === 0) return "now";
    const sign = t < 0 ? "−" : "";
    const ms = Math.round(Math.abs(t));
    const decimals = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
    if (ms < 60000 || !one) return `${sign}${(ms / 1000).toFixed(decimals)} s`;
    const s = Math.floor(ms / 1000);
    const part = decimals ? (ms / 1000 - s).toFixed(decimals).slice(1) : "";
    if (s < 3600) return `${sign}${Math.floor(s / 60)}:${pad2(s % 60)}${part} min`;
    if (s < 86400) return `${sign}${Math.floor(s / 3600)}:${pad2(Math.floor(s / 60) % 60)}${step < 6e4 ? `:${pad2(s % 60)}${part}` : ""} h`;
    return `${sign}${Math.floor(s / 86400)} d${s % 86400 ? ` ${Math.floor(s / 3600) % 24} h` : ""}`;
  }

  // duration is how long something took, as the server writes it.
  function duration(ms) {
    if (ms < 0.9995) return `${short(ms * 1000)} µs`;
    if (ms < 999.5) return `${short(ms)} ms`;
    if (ms < 59950) return `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
    const s = Math.round(ms / 1000);
    if (s < 3600) return `${Math.floor(s / 60)}:${pad2(s % 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)}:${pad2(Math.floor(s / 60) % 60)}:${pad2(s % 60)} h`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  }
  const short = (v) => (v < 9.95 ? v.toFixed(1) : Math.round(v).toString());

  // ---- Pointing at a rectangle

  function place(event) {
    const at = canvas.getBoundingClientRect();
    return { x: event.clientX - at.left, y: event.clientY - at.top };
  }

  // find is the rectangle at a point: one with failures before its neighbours,
  // what is done before what lies below it.
  function find({ x, y }) {
    if (x < gutter) return null;
    const row = Math.floor((y - AXIS) / rowHeight);
    const reach = (2 * (shown().to - shown().from)) / (width - EDGE - gutter);
    const t = timeAt(x);
    let best = null;
    let rank = -1;
    for (const r of rects) {
      if (r.row.y !== row || r.start > t + reach || r.end < t - reach) continue;
      const inside = r.start <= t && r.end >= t;
      const mine = (r.failed ? 8 : 0) + (inside ? 4 : 0) + r.state;
      if (mine > rank) [best, rank] = [r, mine];
    }
    return best;
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !loaded) return;
    drag = { x: event.clientX, from: shown().from, to: shown().to, far: false, had: pointed };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const by = event.clientX - drag.x;
      drag.far ||= Math.abs(by) > 4;
      if (drag.far && view) {
        const shift = (-by / (width - EDGE - gutter)) * (drag.to - drag.from);
        look(drag.from + shift, drag.to + shift);
        return;
      }
    }
    const found = find(place(event));
    if (found === pointed) return;
    pointed = found;
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const { far, had } = drag ?? { far: true };
    drag = null;
    if (far) return;
    const found = find(place(event));
    // A finger that taps wants to read first.
    if (found && (event.pointerType !== "touch" || found === had)) open(found);
    pointed = found;
    draw();
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    draw();
  });
  const open = (r) => (location.href = `/jobs/${r.job}/tasks/${r.first}`);

  function describe(r) {
    const took = r.end - r.start;
    const lines = [];
    if (!one) lines.push(names.get(r.job) ?? r.job);
    lines.push(r.first === r.last ? `task ${number(r.first)}` : `tasks ${number(r.first)} to ${number(r.last)}`);
    const tasks = r.count === 1 ? "1 task" : `${number(r.count)} tasks`;
    lines.push(r.chunks === 1 ? `1 chunk, ${tasks}, on ${r.row.label}` : `${number(r.chunks)} chunks, ${tasks}, on ${r.row.label}`);
    const at = one ? `, from ${tick(r.start, Math.max(took / 10, 1))}` : "";
    if (r.state === LEASED) lines.push(`in hand for ${duration(took)}`);
    else if (r.state === LOST) lines.push(`lost with its node after ${duration(took)}, run again`);
    else if (r.count === 0) lines.push(`gave its tasks back after ${duration(took)}`);
    else if (r.chunks === 1) lines.push(`took ${duration(took)}${at}`);
    else lines.push(`${duration(took)}${at}, busy for ${Math.min(Math.round((100 * r.busy) / Math.max(took, 0.001)), 999)} %`);
    if (r.failed) lines.push(`✕ ${number(r.failed)} failed`);
    return lines;
  }

  function showTip() {
    const r = pointed ?? (document.activeElement === canvas ? focused : null);
    if (!r) {
      tip.hidden = true;
      return;
    }
    const lines = describe(r);
    const text = lines.join("\n");
    if (tip.textContent !== text) tip.textContent = text;
    tip.classList.toggle("bad", r.failed > 0);
    tip.hidden = false;
    const { x, w } = area(r, 0);
    const top = AXIS + r.row.y * rowHeight - box.scrollTop;
    const middle = (clamp(x, gutter, width) + clamp(x + w, gutter, width)) / 2;
    const edge = box.getBoundingClientRect();
    const below = edge.top + top + rowHeight + 8 + tip.offsetHeight < innerHeight || edge.top + top < tip.offsetHeight + 60;
    tip.style.left = `${edge.left + clamp(middle - tip.offsetWidth / 2, 4, Math.max(width - tip.offsetWidth - 4, 4))}px`;
    tip.style.top = `${edge.top + (below ? top + rowHeight + 6 : top - tip.offsetHeight - 6)}px`;
  }
  addEventListener("scroll", () => tip.hidden || draw(), { passive: true });
  box.addEventListener("scroll", draw, { passive: true });

  // ---- The keyboard

  function walk(by) {
    const v = shown();
    if (!focused) {
      go(rects.find((r) => r.end >= v.from && r.start <= v.to) ?? rects[0]);
      return;
    }
    const next = rects[rects.indexOf(focused) + by];
    if (next?.row === focused.row) go(next);
  }
  function climb(by) {
    if (!focused) return walk(0);
    const middle = (focused.start + focused.end) / 2;
    for (let y = focused.row.y + by; y >= 0 && y < rows.length; y += by) {
      let best = null;
      for (const r of rects) {
        if (r.row.y !== y) continue;
        const off = Math.max(r.start - middle, middle - r.end, 0);
        if (!best || off < best.off) best = { r, off };
      }
      if (best) return go(best.r);
    }
  }
  function edge(last) {
    const row = rects.filter((r) => r.row === (focused ?? rects[0])?.row);
    go(row.at(last ? -1 : 0));
  }
  function go(r) {
    if (!r) return;
    focused = r;
    pointed = null;
    const v = shown();
    if (r.start < v.from || r.end > v.to) {
      const span = v.to - v.from;
      if (r.end - r.start > span) look(r.start - span * 0.02, r.start + span * 0.98);
      else if (r.start < v.from) look(r.start - span * 0.1, r.start + span * 0.9);
      else look(r.end - span * 0.9, r.end + span * 0.1);
    }
    const y = r.row.y * rowHeight;
    box.scrollTop = clamp(box.scrollTop, y + AXIS + rowHeight + 12 - box.clientHeight, y);
    said.textContent = describe(r).join(", ");
    draw();
  }
  const keys = {
    ArrowRight: (shift) => (shift ? pan(0.2) : walk(1)),
    ArrowLeft: (shift) => (shift ? pan(-0.2) : walk(-1)),
    ArrowDown: () => climb(1),
    ArrowUp: () => climb(-1),
    Home: () => edge(false),
    End: () => edge(true),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    "_": () => zoom(2),
    0: reset,
    Enter: () => focused && open(focused),
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !loaded) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act(event.shiftKey);
  });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);

  // ---- The theme

  const repaint = () => {
    colours = new Map();
    draw();
  };
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  measure();
}
