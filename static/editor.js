// The source editor: a textarea in which Tab indents. Escape and then Tab
// leaves it, so the keyboard is never trapped.
const unit = "    ";

function replace(area, from, to, text, selectFrom, selectTo) {
  area.setSelectionRange(from, to);
  // Only execCommand keeps the browser's undo.
  const done = text ? document.execCommand("insertText", false, text) : from === to || document.execCommand("delete");
  if (!done) {
    area.setRangeText(text, from, to, "end");
    area.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
  if (selectFrom !== undefined) area.setSelectionRange(selectFrom, selectTo ?? selectFrom);
}

function indent(area, back) {
  const { value, selectionStart: start, selectionEnd: end } = area;
  if (start === end && !back) {
    const column = start - (value.lastIndexOf("\n", start - 1) + 1);
    replace(area, start, end, unit.slice(column % unit.length));
    return;
  }
  const first = value.lastIndexOf("\n", start - 1) + 1;
  const stop = end > start && value[end - 1] === "\n" ? end - 1 : end;
  const after = value.indexOf("\n", stop);
  const last = after < 0 ? value.length : after;
  const lines = value.slice(first, last).split("\n");
  const changed = lines.map((line) => (back ? line.replace(/^( {1,4}|\t)/, "") : line && unit + line));
  const text = changed.join("\n");
  if (text === lines.join("\n")) return;
  const moved = Math.max(first, start + changed[0].length - lines[0].length);
  replace(area, first, last, text, moved, Math.max(moved, end + text.length - (last - first)));
}

function newLine(area) {
  const { value, selectionStart: start, selectionEnd: end } = area;
  const line = value.slice(value.lastIndexOf("\n", start - 1) + 1, start);
  let margin = line.match(/^[ \t]*/)[0];
  if (/:\s*(#.*)?$/.test(line)) margin += unit;
  else if (/^\s*(return|pass|raise|break|continue)\b/.test(line)) margin = margin.slice(unit.length);
  replace(area, start, end, "\n" + margin);
}

function backspace(area) {
  const { value, selectionStart: start, selectionEnd: end } = area;
  const line = value.slice(value.lastIndexOf("\n", start - 1) + 1, start);
  if (start !== end || !line || /[^ ]/.test(line)) return false;
  const surplus = line.length % unit.length || unit.length;
  replace(area, start - surplus, start, "");
  return true;
}

function edit(area) {
  let leaving = false;
  area.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const wasLeaving = leaving;
    leaving = event.key === "Escape" || (leaving && event.key === "Shift");
    if (event.key === "Tab") {
      if (wasLeaving) return;
      event.preventDefault();
      indent(area, event.shiftKey);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      newLine(area);
    } else if (event.key === "Backspace" && backspace(area)) {
      event.preventDefault();
    }
  });
  area.addEventListener("blur", () => (leaving = false));

  const gutter = area.parentElement.querySelector(".gutter");
  let numbered = "";
  const number = () => {
    const count = area.value.split("\n").length;
    const wrong = area.dataset.lines ?? "";
    if (gutter.childElementCount === count && numbered === wrong) return;
    numbered = wrong;
    const bad = new Set(wrong.split(",").filter(Boolean).map(Number));
    gutter.replaceChildren(
      ...Array.from({ length: count }, (_, i) => {
        const line = document.createElement("span");
        line.textContent = i + 1;
        if (bad.has(i + 1)) line.className = "bad";
        return line;
      }),
    );
  };
  area.addEventListener("input", number);
  document.addEventListener("patched", number);
  area.addEventListener("scroll", () => (gutter.scrollTop = area.scrollTop));
  number();
}

for (const area of document.querySelectorAll("textarea[data-editor]")) edit(area);
