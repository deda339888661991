// Updates relative times between the server's updates.

// Times on the page are the server's; the reader's clock may differ.
const skew = Date.parse(document.body.dataset.now) - Date.now();
const pad = (n) => String(n).padStart(2, "0");

// The same format as the server's (views/format.go).
function clock(seconds) {
  const s = Math.floor(seconds);
  if (s < 3600) return `${Math.floor(s / 60)}:${pad(s % 60)}`;
  if (s < 86400) return `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}
function ago(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}
function span(seconds) {
  return seconds < 59.95 ? `${seconds.toFixed(1)} s` : clock(Math.round(seconds));
}

const forms = {
  ago: (past) => ago(past),
  since: (past) => span(past),
  until: (past) => span(-past),
};

function tick() {
  const now = Date.now() + skew;
  for (const el of document.querySelectorAll("time[data-tick]")) {
    const past = (now - Date.parse(el.dateTime)) / 1000;
    const text = forms[el.dataset.tick](el.dataset.tick === "until" ? Math.min(past, 0) : Math.max(past, 0));
    if (el.firstChild?.nodeValue !== text) el.textContent = text;
  }
}

document.addEventListener("patched", tick);
document.addEventListener("visibilitychange", () => document.hidden || tick());
setInterval(() => document.hidden || tick(), 1000);
tick();
