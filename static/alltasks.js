// The strip of all tasks: the pointer shows a cell's description, a click opens
// a task.
//
// Contract: #strip has data-cells, one letter per cell; data-size, the tasks
// per cell; and data-total. data-mixed lists the cells whose tasks differ in
// state, as cell:succeeded/failed/claimed/cancelled@first failed, separated by
// commas.
const cells = (strip) => strip.dataset.cells;
const number = (n) => n.toLocaleString("en-US");
const words = { s: "succeeded", p: "partly done", r: "claimed", f: "failed", c: "cancelled", w: "waiting" };

function cellAt(event) {
  const block = event.target.closest?.("#job-strip svg[data-first]");
  if (!block) return null;
  const box = block.getBoundingClientRect();
  const columns = block.viewBox.baseVal.width / 10;
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  const strip = document.getElementById("strip");
  const cell = Number(block.dataset.first) + column;
  return column >= 0 && cell < cells(strip).length ? { strip, cell } : null;
}

// mixed returns the counts of a cell whose tasks differ in state.
function mixed(strip, cell) {
  for (const entry of strip.dataset.mixed.split(",")) {
    const [at, succeeded, failed, claimed, cancelled, first] = entry.split(/[:/@]/).map(Number);
    if (entry && at === cell) return { succeeded, failed, claimed, cancelled, first };
  }
  return null;
}

function describe({ strip, cell }) {
  const size = Number(strip.dataset.size);
  const first = cell * size;
  const last = Math.min(first + size, Number(strip.dataset.total)) - 1;
  const parts = mixed(strip, cell);
  let what = words[cells(strip)[cell]];
  if (parts) {
    const counts = { failed: parts.failed, succeeded: parts.succeeded, claimed: parts.claimed, cancelled: parts.cancelled };
    counts.waiting = last - first + 1 - Object.values(counts).reduce((sum, n) => sum + n, 0);
    what = Object.entries(counts).filter(([, n]) => n > 0).map(([word, n]) => `${number(n)} ${word}`).join(", ");
  }
  return `${first === last ? `task ${number(first)}` : `tasks ${number(first)} to ${number(last)}`}: ${what}`;
}

document.addEventListener("pointermove", (event) => {
  const read = document.getElementById("strip-read");
  if (!read) return;
  const found = cellAt(event);
  read.textContent = found ? describe(found) : "";
});
document.addEventListener("click", (event) => {
  const found = cellAt(event);
  if (!found) return;
  const { strip, cell } = found;
  const parts = mixed(strip, cell);
  const index = parts?.failed ? parts.first : cell * Number(strip.dataset.size);
  location.href = `${strip.dataset.tasks}/${index}`;
});
