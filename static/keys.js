// Keyboard shortcuts: / search, n new job, j and k rows, g j, g q, g n, ? help.
// Also closes the menus of the header.
const go = { j: "/", q: "/queues", n: "/nodes" };
let chord = 0;

const typing = (el) => el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.nodeName);
const rows = () => [...document.querySelectorAll("[data-rows] tbody tr")].filter((row) => row.querySelector("a[href]"));

function step(by) {
  const all = rows();
  if (!all.length) return;
  const here = all.findIndex((row) => row.contains(document.activeElement));
  const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1);
  const link = all[next].querySelector("[data-open]") ?? all[next].querySelector("a[href]");
  link.focus();
  all[next].scrollIntoView({ block: "nearest" });
}

function help() {
  const dialog = document.getElementById("help");
  if (dialog.matches(":popover-open")) dialog.hidePopover();
  else dialog.showPopover();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    closeMenus();
    if (event.target.id === "search") event.target.blur();
    return;
  }
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const second = Date.now() < chord;
  chord = 0;
  if (second && go[event.key]) {
    location.href = go[event.key];
  } else if (event.key === "g") {
    chord = Date.now() + 1500;
    return;
  } else if (event.key === "/") {
    const box = document.getElementById("search");
    box?.focus();
    box?.select();
  } else if (event.key === "n") {
    if (document.body.dataset.new) location.href = document.body.dataset.new;
  } else if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
  } else if (event.key === "?") {
    help();
  } else {
    return;
  }
  event.preventDefault();
});

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu === except) continue;
    const inside = menu.contains(document.activeElement);
    menu.open = false;
    if (inside) menu.querySelector("summary").focus();
  }
}
document.addEventListener("click", (event) => closeMenus(event.target.closest?.("details.menu")));
