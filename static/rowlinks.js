// Makes table rows open their subject. Contract: a table inside [data-rows]
// whose rows each have one link with data-open. A click beside that link, on an
// element without a function of its own, opens it; the middle button, and Ctrl
// or Cmd, open it in a new tab. Selecting text opens nothing.

const own = "a, button, input, label, select, summary, textarea";
let pressed = null; // position of the button press

function target(event) {
  const row = event.target.closest?.("[data-rows] tbody tr");
  if (!row || event.defaultPrevented || event.target.closest(own)) return null;
  return row.querySelector("a[data-open]");
}

// A drag selects text, and so does a double click.
function selects(event) {
  const moved = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 4;
  return moved || event.detail > 1 || !getSelection().isCollapsed || event.shiftKey;
}

document.addEventListener("mousedown", (event) => {
  pressed = { x: event.clientX, y: event.clientY };
  // The middle button would start scrolling.
  if (event.button === 1 && target(event)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  const link = target(event);
  if (!link || selects(event)) return;
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else location.href = link.href;
});
document.addEventListener("auxclick", (event) => {
  const link = event.button === 1 && target(event);
  if (link && !selects(event)) open(link.href, "_blank", "noopener");
});
