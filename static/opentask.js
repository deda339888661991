// The field #goto of a job's page opens a task by its index. #goto-error shows
// an error for an index outside the job's tasks (data-total of its form).
const message = () => document.getElementById("goto-error");

function wrong(form) {
  const typed = form.elements.index.value.replace(/[,_\s]/g, "");
  const most = Number(form.dataset.total) - 1;
  if (/^\d+$/.test(typed) && Number(typed) <= most) return "";
  return `There is no task ${form.elements.index.value.trim() || "without an index"}: indexes go from 0 to ${most.toLocaleString("en-US")}.`;
}

function mark(input) {
  if (message().textContent) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches(".goto")) return;
  const input = event.target.elements.index;
  message().textContent = wrong(event.target);
  mark(input);
  if (!message().textContent) return;
  event.preventDefault();
  input.focus();
});
document.addEventListener("input", (event) => {
  if (event.target.id !== "goto" || !message().textContent) return;
  message().textContent = "";
  mark(event.target);
});
// The server's page does not have the message.
document.addEventListener("patched", () => {
  const input = document.getElementById("goto");
  if (input && message()) mark(input);
});
