// Shows how the server reads the file chosen in the form #newjob: puts the
// server's answer to the file's beginning into #file-preview, which this module
// owns. Buttons with data-column there choose a column of a CSV file.
import { form } from "./newjobfields.js";
import { size } from "./newjobsend.js";

const HEAD = 64 << 10; // bytes of the file to send
const PAUSE = 250; // ms without a keystroke
const asked = ["call", "inputs", "kind", "file_format", "csv_column", "csv_header"];

const box = document.getElementById("file-preview");
const hint = document.getElementById("file-hint");
let current; // the newest request

function fields(file) {
  const data = new FormData();
  if (file.size > HEAD) data.set("part", "1"); // it must come before the file
  for (const [name, value] of new FormData(form)) if (asked.includes(name)) data.set(name, value);
  data.set("file", file.slice(0, HEAD), file.name);
  return data;
}

async function look() {
  current?.abort();
  const file = form.elements.file.files[0];
  if (!file) {
    box.replaceChildren();
    box.dataset.format = "";
    return;
  }
  hint.textContent = `${file.name}, ${size(file.size)}.`;
  const mine = (current = new AbortController());
  try {
    const answer = await fetch("/jobs/new/file", { method: "POST", body: fields(file), signal: mine.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("file-preview");
    if (mine.signal.aborted) return;
    if (!fresh) throw new Error(page.querySelector(".failure p")?.textContent ?? "The server cannot preview the file.");
    box.dataset.format = fresh.dataset.format;
    box.replaceChildren(...fresh.childNodes);
  } catch (error) {
    if (mine.signal.aborted) return;
    box.textContent = error instanceof TypeError ? "The server does not answer. It will read the file when you submit." : error.message;
  }
}

let timer = 0;
const soon = (wait) => {
  clearTimeout(timer);
  timer = setTimeout(look, wait);
};

form.addEventListener("input", (event) => event.target.name === "csv_column" && soon(PAUSE));
form.addEventListener("change", (event) => ["file", "file_format", "csv_header", "call"].includes(event.target.name) && soon(0));
box.addEventListener("click", (event) => {
  const column = event.target.closest("[data-column]");
  if (!column) return;
  form.elements.csv_column.value = column.dataset.column;
  form.elements.csv_column.dispatchEvent(new Event("input", { bubbles: true }));
});
// The server's form does not have the file.
document.addEventListener("patched", () => form.elements.file.files[0] && soon(0));
look();
