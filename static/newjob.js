// The form #newjob: shows the request to be sent, keeps the function's name in
// step with the source, and submits without leaving the page. The form also
// works without this script.
import { form } from "./newjobfields.js";
import { defs, lay, request } from "./newjobrequest.js";
import { attempt, busy, isBusy, reveal, submit } from "./newjobsend.js";
import "./newjobexamples.js";
import "./filepreview.js";

function preview() {
  const target = document.getElementById("curl-text");
  const command = target.textContent;
  const begin = command.indexOf("<<'END'\n");
  if (begin < 0 || !document.getElementById("curl").open) return;
  target.textContent = command.slice(0, begin) + `<<'END'\n${lay(request(), "", true)}\nEND\n`;
}

// The function's name follows the source until the user chooses another one.
let last = defs().at(-1);
function follow() {
  const list = document.getElementById("functions");
  const names = defs();
  if ([...list.children].map((o) => o.value).join() !== names.join()) {
    list.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  }
  const field = form.elements.function;
  if (names.length && field.value === last && !names.includes(field.value)) field.value = names.at(-1);
  if (names.includes(field.value)) last = field.value;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (isBusy()) return;
  if (event.submitter?.name === "try") attempt(event.submitter);
  else submit(event.submitter);
});
addEventListener("pageshow", () => busy(""));
form.addEventListener("input", (event) => {
  if (event.target.name === "source") follow();
  preview();
});
form.addEventListener("change", preview);
document.addEventListener("patched", preview);
document.getElementById("curl").addEventListener("toggle", preview);
form.addEventListener("click", (event) => {
  const link = event.target.closest?.(".summary a");
  const field = link && document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  reveal(field);
  (field.matches("fieldset") ? field.querySelector("input:checked") : field).focus();
});
// Ctrl+Enter submits from anywhere in the form.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(form.querySelector("button.primary"));
  }
});
follow();
