// Suggests completions while the user types a search. Contract: #search, the
// box, and after it #suggestions, an empty list. GET
// /api/v1/jobs/suggestions?term=… returns items of text and hint for the term
// at the caret. Only a chosen suggestion changes the text of the box.

const box = document.getElementById("search");
const list = document.getElementById("suggestions");
const WAIT = 120; // ms without a keystroke before a request
let active = -1;
let timer;
let asked; // the current request
let term = { from: 0, to: 0, text: "" };

// The term at the caret starts after the last space outside quotes. A leading
// dash stays.
function termAt(text, caret) {
  let from = 0;
  let quoted = false;
  for (let i = 0; i < caret; i++) {
    if (text[i] === '"' && (quoted || /[\s:,-]/.test(text[i - 1] ?? " "))) quoted = !quoted;
    else if (!quoted && /\s/.test(text[i])) from = i + 1;
  }
  if (text[from] === "-") from++;
  const rest = text.slice(caret).search(/\s/);
  return { from, to: rest < 0 ? text.length : caret + rest, text: text.slice(from, caret) };
}

function close() {
  clearTimeout(timer);
  asked?.abort();
  list.hidden = true;
  active = -1;
  box.setAttribute("aria-expanded", "false");
  box.removeAttribute("aria-activedescendant");
}

function open(items) {
  list.replaceChildren(
    ...items.map(({ text, hint }, i) => {
      const option = document.createElement("li");
      option.id = "suggestion-" + i;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.dataset.text = text;
      const code = document.createElement("code");
      code.textContent = text;
      const small = document.createElement("small");
      small.textContent = hint;
      option.append(code, small);
      return option;
    }),
  );
  active = -1;
  box.removeAttribute("aria-activedescendant");
  list.hidden = !items.length;
  box.setAttribute("aria-expanded", String(items.length > 0));
}

// step moves through a ring of the options and the box itself, which is -1.
function step(by) {
  const options = [...list.children];
  const ring = options.length + 1;
  active = ((active + 1 + by + ring) % ring) - 1;
  options.forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
  if (active < 0) return box.removeAttribute("aria-activedescendant");
  box.setAttribute("aria-activedescendant", options[active].id);
  options[active].scrollIntoView({ block: "nearest" });
}

async function ask() {
  term = termAt(box.value, box.selectionStart);
  asked?.abort();
  const mine = (asked = new AbortController());
  try {
    const answer = await fetch("/api/v1/jobs/suggestions?term=" + encodeURIComponent(term.text), { signal: mine.signal });
    if (!answer.ok || document.activeElement !== box) return close();
    const { items } = await answer.json();
    open(items.filter(({ text }) => text !== term.text));
  } catch {
    if (asked === mine) close();
  }
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

function choose(option) {
  const text = option.dataset.text;
  // A qualifier needs a value; after a value the next term starts.
  const end = text.endsWith(":") ? "" : " ";
  box.setRangeText(text + end, term.from, term.to, "end");
  close();
  box.focus();
  if (!end) ask();
}

if (box && list) {
  box.setAttribute("role", "combobox");
  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", list.id);
  box.setAttribute("aria-expanded", "false");
  box.addEventListener("input", later);
  box.addEventListener("focus", later);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.hidden) ask();
    if (list.hidden) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") step(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Escape") {
      close();
      event.stopPropagation(); // the first one closes the list, the next one leaves the box
    } else if ((event.key === "Enter" || event.key === "Tab") && active >= 0) choose(list.children[active]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the focus stays in the box
    const option = event.target.closest("[role=option]");
    if (option) choose(option);
  });
}
