// Keeps the page up to date while it is visible. Contract: body has the address
// of the page's stream in data-live.
import { patch } from "./morph.js";
import { Feed, address } from "./feed.js";

const page = document.body.dataset.live;
const dot = document.getElementById("live");
const banner = document.getElementById("trouble");

const words = {
  live: ["live", "This page updates itself"],
  reconnecting: ["reconnecting", "No connection. Reconnecting"],
  paused: ["paused", "Updates pause while this tab is hidden"],
  ended: ["ended", "Nothing on this page will change"],
};
const troubles = {
  database: "The database does not answer. Running tasks go on. This page updates when the database is back.",
  server: "The server does not answer. This page shows the last known state and reconnects automatically.",
};

let ended = !page;

function show(state) {
  if (!dot || dot.dataset.state === state) return;
  dot.dataset.state = state;
  dot.title = words[state][1];
  dot.lastElementChild.textContent = words[state][0];
  dot.hidden = false;
}

function warn(trouble) {
  if (banner.dataset.trouble === trouble) return;
  banner.dataset.trouble = trouble;
  const text = document.createElement("span");
  text.textContent = troubles[trouble];
  banner.replaceChildren(...(trouble ? [text] : []));
}

function hear(message) {
  if (ended || document.hidden) return;
  if (message.lost) show("reconnecting");
  if (message.trouble !== undefined) {
    warn(message.trouble);
    show(message.trouble ? "reconnecting" : "live");
  }
  if (message.patch) patch(message.patch);
  if (message.gone) location.reload();
  if (message.signin) location.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
  if (message.end) {
    ended = true;
    show("ended");
    warn("");
  }
}

// say reports to the feed whether this page is visible: its stream's address or null.
let say;

function alone() {
  const feed = new Feed();
  say = (looked) => (looked ? feed.join(hear, looked) : feed.leave(hear));
}

function shared() {
  const worker = new SharedWorker(address, { type: "module", name: "live" });
  worker.port.onmessage = ({ data }) => hear(data);
  worker.onerror = () => {
    alone();
    look();
  };
  say = (looked) => worker.port.postMessage(looked);
}

try {
  shared();
} catch {
  alone(); // this browser has no shared workers
}

function look() {
  if (ended) return;
  if (document.hidden) show("paused");
  say(document.hidden ? null : page);
}

document.addEventListener("visibilitychange", look);
addEventListener("pagehide", () => say(null));
addEventListener("pageshow", (event) => event.persisted && look());
setInterval(look, 20000); // a worker gets no event when a tab crashes
look();
