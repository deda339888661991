// The strip of all tasks: points at a cell tell it, a click opens a task.
const cells = (strip) => strip.dataset.cells;
const number = (n) => n.toLocaleString("en-US");
const words = { s: "succeeded", p: "partly done", r: "running", f: "failed", c: "cancelled", w: "waiting" };

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

// failed cells carry how many failed and the first of them: "3:2@77,…".
function failures(strip, cell) {
  for (const entry of strip.dataset.failed.split(",")) {
    const [at, count, first] = entry.split(/[:@]/).map(Number);
    if (entry && at === cell) return { count, first };
  }
  return null;
}

function describe({ strip, cell }) {
  const size = Number(strip.dataset.size);
  const first = cell * size;
  const last = Math.min(first + size, Number(strip.dataset.total)) - 1;
  const failed = failures(strip, cell);
  const what = failed && size > 1 ? `${number(failed.count)} failed` : words[cells(strip)[cell]];
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
  const index = failures(strip, cell)?.first ?? cell * Number(strip.dataset.size);
  location.href = `${strip.dataset.tasks}/${index}`;
});
