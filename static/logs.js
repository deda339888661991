// Follows the newest lines of logs until the reader scrolls up.
//
// Contract: a box with data-tail starts at its end, and stays there as lines
// arrive (morph.js). While the reader looks at older lines it has data-keep,
// which keeps the page's stream from changing it, and the button with
// data-follow in its section is visible. Only changing pages have such a
// stream.
import { patch } from "./morph.js";

const slack = 24; // pixels from the end that count as the end

const atEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - slack;
const button = (box) => box.closest("section")?.querySelector("[data-follow]");

const seen = new WeakMap(); // scroll position of each box

function pause(box) {
  box.dataset.keep = "";
  const follow = button(box);
  if (follow) follow.hidden = false;
}

// resume adds the lines that arrived meanwhile.
async function resume(box) {
  const section = box.closest("section");
  delete box.dataset.keep;
  const follow = button(box);
  if (follow) follow.hidden = true;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.getElementById(section.id);
    if (now) patch(now.outerHTML);
  }
  const tail = document.getElementById(section.id)?.querySelector("[data-tail]");
  if (tail) tail.scrollTop = tail.scrollHeight;
}

if (document.body.dataset.live) {
  document.addEventListener("scroll", ({ target }) => {
    if (!(target instanceof Element) || !target.matches("[data-tail]")) return;
    const kept = target.hasAttribute("data-keep");
    const up = target.scrollTop < (seen.get(target) ?? Infinity); // new lines do not change it
    seen.set(target, target.scrollTop);
    if (atEnd(target) && kept) resume(target);
    else if (!atEnd(target) && up && !kept) pause(target);
  }, true);
  document.addEventListener("click", ({ target }) => {
    const box = target.closest?.("[data-follow]")?.closest("section").querySelector("[data-tail]");
    if (box) resume(box);
  });
}
