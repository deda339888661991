// Sends the forms marked data-inplace without leaving the page, and merges the
// server's answer into the page.
import { morph } from "./morph.js";

async function send(form, submitter) {
  const buttons = [...form.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  const late = setTimeout(() => submitter?.setAttribute("aria-busy", "true"), 300);
  const sent = new URLSearchParams(new FormData(form, submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body: sent });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.getElementById("main");
    if (!main || (answer.redirected && new URL(answer.url).pathname !== location.pathname)) {
      location.href = answer.redirected ? answer.url : location.href;
      return;
    }
    // The answer replaces what data-keep protected from the stream.
    form.removeAttribute("data-keep");
    form.closest("dialog")?.hidePopover();
    if (answer.ok) form.reset();
    morph(document.getElementById("main"), main);
    document.dispatchEvent(new Event("patched"));
    const first = document.querySelector("#main [aria-invalid]") ?? document.querySelector("#main [role=alert]");
    if (!answer.ok && first) {
      if (!first.matches("input")) first.tabIndex = -1;
      first.focus();
    }
  } catch {
    // The server is unreachable: submit normally, so that the browser shows its
    // error.
    form.removeAttribute("data-inplace");
    for (const button of buttons) button.disabled = false;
    form.requestSubmit(submitter);
  } finally {
    clearTimeout(late);
    submitter?.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.hasAttribute("data-inplace") || event.defaultPrevented) return;
  event.preventDefault();
  send(form, event.submitter);
});
