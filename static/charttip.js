// Shows a chart's values at the pointer. Contract: svg[data-reads] has one text
// per point, separated by |.
const age = (seconds) => (seconds < 60 ? "now" : `${Math.round(seconds / 60)} min ago`);

function textAt(svg, event) {
  const reads = svg.dataset.reads.split("|");
  const grid = svg.querySelector(".grid").getBoundingClientRect();
  const share = (event.clientX - grid.left) / grid.width;
  const i = Math.floor(share * reads.length);
  if (i < 0 || i >= reads.length) return null;
  const back = (reads.length - 1 - i) * Number(svg.dataset.step);
  const [, left, , width] = /M(\d+) (\d+)H(\d+)/.exec(svg.querySelector(".grid").getAttribute("d"));
  return { text: `${age(back)}: ${reads[i] || "nothing"}`, x: Number(left) + ((i + 0.5) * (width - left)) / reads.length };
}

function clear(except) {
  for (const svg of document.querySelectorAll("svg[data-pointed]")) {
    if (svg === except) continue;
    svg.removeAttribute("data-pointed");
    svg.querySelector(".cursor").removeAttribute("d");
    svg.closest("figure").querySelector(".read").textContent = "";
  }
}

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.("svg[data-reads]");
  const found = svg && textAt(svg, event);
  clear(found && svg);
  if (!found) return;
  svg.setAttribute("data-pointed", "");
  svg.querySelector(".cursor").setAttribute("d", `M${found.x.toFixed(1)} 4V88`);
  svg.closest("figure").querySelector(".read").textContent = found.text;
});
