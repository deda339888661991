// Selects rows of the list of jobs and applies an action to all of them.
// Contract: [data-pick] checkboxes in the rows, whose value is the job's id;
// #pick-all in the header; #jobs with data-matching and data-matching-word, the
// number of jobs in the list, and data-search, which selects them; #bulk, the
// bar, with .count, .every, .clear, buttons with data-action (with data-ask in
// a dialog) and .result. The tab keeps the selection under the list's search,
// so it survives the list's updates, its pages, and Back.

const KEY = "selected jobs";
const MOST = 10000;
const bar = document.getElementById("bulk");
const search = new URLSearchParams(location.search).get("q") ?? "";
let picked = new Set();
let every = false; // all jobs that match, on all pages
let last = null; // the row of the last click, the start of a range
let working = false;

const list = () => document.getElementById("jobs");
const boxes = () => [...document.querySelectorAll("[data-pick]")];
const matching = () => Number(list().dataset.matching ?? 0);
const words = (n) => (n === 1 ? "1 job" : n.toLocaleString("en") + " jobs");

function save() {
  sessionStorage.setItem(KEY, JSON.stringify({ search, every, picked: [...picked] }));
}

function load() {
  picked.clear();
  every = false;
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    if (kept?.search !== search) return;
    picked = new Set(kept.picked);
    every = kept.every;
  } catch {
    // The stored value is unreadable.
  }
}

function show() {
  const all = boxes();
  for (const box of all) box.checked = every || picked.has(box.value);
  const here = all.filter((box) => box.checked).length;
  const head = document.getElementById("pick-all");
  if (head) {
    head.checked = all.length > 0 && here === all.length;
    head.indeterminate = here > 0 && here < all.length;
  }
  const n = every ? matching() : picked.size;
  const elsewhere = every ? 0 : n - here;
  bar.querySelector(".count").textContent = every
    ? `All ${list().dataset.matchingWord ?? n} matching jobs selected`
    : `${words(n)} selected` + (elsewhere ? `, ${elsewhere.toLocaleString("en")} not shown here` : "");
  const more = bar.querySelector(".every");
  more.hidden = every || here < all.length || matching() <= all.length;
  more.textContent = `Select all ${list().dataset.matchingWord}`;
  bar.querySelector(".acts").hidden = n === 0;
  bar.hidden = n === 0 && !bar.querySelector(".result").textContent;
  for (const button of bar.querySelectorAll("button")) button.disabled = working;
}

function clear() {
  picked.clear();
  every = false;
}

// pick selects or deselects a row; with Shift, all rows from the last one on.
function pick(box, range) {
  const all = boxes();
  if (every) for (const other of all) picked.add(other.value);
  every = false;
  const from = all.findIndex((other) => other.value === last);
  const to = all.indexOf(box);
  const rows = range && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
  for (const row of rows) {
    if (box.checked) picked.add(row.value);
    else picked.delete(row.value);
  }
  last = box.value;
}

const done = { cancel: "cancelled", pause: "paused", resume: "resumed", retry: "retried", delete: "deleted", tag: "tagged", untag: "untagged" };

function report(text, bad, reasons = []) {
  const result = bar.querySelector(".result");
  result.replaceChildren(text);
  result.classList.toggle("bad", bad);
  for (const { reason, count } of reasons) {
    const line = document.createElement("small");
    line.textContent = `${count.toLocaleString("en")}: ${reason}`;
    result.append(line);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// act applies an action and follows it to its end.
async function act(action, tags) {
  const body = { action };
  if (tags) body.tags = tags;
  if (every) body.search = list().dataset.search;
  else body.ids = [...picked];
  if (!every && picked.size > MOST) return report(`At most ${words(MOST)} at once. Search for them and select all that match.`, true);
  working = true;
  show();
  report("Working…", false);
  try {
    let answer = await fetch("/api/v1/jobs/bulk", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": Date.now() + "-" + Math.random() },
      body: JSON.stringify(body),
    });
    let now = await answer.json();
    while (answer.ok && now.state === "running") {
      report(`${(now.done + now.refused).toLocaleString("en")} of ${words(now.total)}…`, false);
      await pause(700);
      answer = await fetch("/api/v1/jobs/bulk/" + now.id);
      now = await answer.json();
    }
    if (!answer.ok) {
      report((now.errors ?? []).map((e) => e.message).join("; ") || now.detail, true);
      return;
    }
    report(`${words(now.done)} ${done[action]}` + (now.refused ? `, ${now.refused.toLocaleString("en")} refused` : ""), now.refused > 0, now.reasons);
    if (!now.refused || action === "delete") clear();
    else if (!every && now.more_refusals === 0) picked = new Set(now.refusals.map((r) => r.id));
    save();
  } catch {
    report("The server does not answer. What it has started goes on.", true);
  } finally {
    working = false;
    show();
  }
}

document.addEventListener("click", (event) => {
  const box = event.target.closest?.("[data-pick]");
  if (box) pick(box, event.shiftKey);
  else if (event.target.id === "pick-all") {
    every = false;
    for (const row of boxes()) event.target.checked ? picked.add(row.value) : picked.delete(row.value);
  } else return;
  report("", false);
  save();
  show();
});
// Shift-click would select text.
document.addEventListener("mousedown", (event) => event.shiftKey && event.target.closest?.(".c-pick") && event.preventDefault());

bar.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".every")) every = true;
  else if (button.matches(".clear")) {
    clear();
    report("", false);
  } else if (button.dataset.action) {
    button.closest("dialog")?.hidePopover();
    act(button.dataset.action);
    return;
  } else return;
  save();
  show();
});
bar.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.tags;
  const tags = field.value.split(/[\s,]+/).filter(Boolean);
  if (!tags.length) return field.focus();
  event.target.closest("dialog")?.hidePopover();
  act(event.submitter?.value === "untag" ? "untag" : "tag", tags);
});
// A dialog states the number of its jobs.
for (const dialog of bar.querySelectorAll("dialog")) {
  dialog.addEventListener("beforetoggle", () => {
    for (const n of dialog.querySelectorAll(".n")) n.textContent = words(every ? matching() : picked.size);
  });
}
document.addEventListener("patched", show);
addEventListener("pageshow", () => {
  load();
  show();
});
load();
show();
