// Examples beside the form #newjob: a link in .examples loads its example into
// the form. It replaces typed values only after a confirmation in the dialog
// #replace, and the notice's Undo restores them.
import { fill, served, typed } from "./newjobfields.js";
import { isTyped, replace, save, say } from "./draft.js";

const dialog = document.getElementById("replace");
const list = document.querySelector(".examples");

// agreed asks whether to replace the typed values.
function agreed(title) {
  dialog.querySelector("b").textContent = title;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "replace"), { once: true }));
}

async function use(link) {
  const title = link.querySelector("b").textContent;
  const asked = isTyped();
  if (asked && !(await agreed(title))) return;
  let page;
  try {
    const answer = await fetch(link.href);
    page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("newjob");
  } catch {
    // The server does not answer.
  }
  if (!page) {
    say("The example could not be loaded. Your input is unchanged.");
    return;
  }
  const before = typed();
  replace(served(page));
  for (const other of list.querySelectorAll("a[aria-current]")) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  const undo = () => {
    fill(before);
    save();
    link.removeAttribute("aria-current");
    say("");
  };
  if (asked) say(`“${title}” replaced what you typed.`, ["Undo", undo]);
  else say("");
}

list.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  use(link);
});
