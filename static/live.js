// Keeps the page up to date: one stream, closed while nobody looks.
import { patch } from "./morph.js";

const url = document.body.dataset.live;
const dot = document.getElementById("live");

let source = null;
let timer = 0;
let failures = 0;
let ended = !url;

const words = {
  live: ["live", "Changes appear by themselves"],
  reconnecting: ["reconnecting", "The server does not answer; trying again"],
  paused: ["paused", "Nothing is fetched while this tab is hidden"],
  ended: ["ended", "Nothing here will change any more"],
};

function show(state) {
  if (!dot || dot.dataset.state === state) return;
  dot.dataset.state = state;
  dot.title = words[state][1];
  dot.lastElementChild.textContent = words[state][0];
  dot.hidden = false;
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function open() {
  close();
  if (ended) return;
  if (document.hidden) {
    show("paused");
    return;
  }
  const mine = new EventSource(url);
  source = mine;
  mine.onopen = () => {
    failures = 0;
    show("live");
  };
  mine.addEventListener("patch", (event) => patch(event.data));
  mine.addEventListener("end", () => {
    ended = true;
    close();
    show("ended");
  });
  mine.onerror = async () => {
    if (source !== mine) return;
    close();
    show("reconnecting");
    failures++;
    // A short break (a restarted server) is over soon; a long one is not made
    // shorter by asking often. The chance keeps many tabs from coming at once.
    const wait = Math.min(250 * 2 ** Math.min(failures - 1, 6), 10000);
    timer = setTimeout(failures > 1 ? probe : open, wait * (0.75 + Math.random() / 2));
  };
}

// An EventSource does not tell why it failed, so after a second failure this
// asks for the status.
async function probe() {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, signal: stop.signal });
    if (answer.status === 401 || (answer.redirected && new URL(answer.url).pathname === "/login")) {
      location.href = "/login?next=" + encodeURIComponent(location.pathname + location.search);
      return;
    }
    if (answer.status === 404 || answer.status === 410) {
      location.reload();
      return;
    }
  } catch {
    // Not there yet.
  } finally {
    stop.abort();
  }
  open();
}

document.addEventListener("visibilitychange", () => {
  if (ended) return;
  failures = 0;
  if (document.hidden) {
    close();
    show("paused");
  } else {
    open();
  }
});
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && open());
addEventListener("online", () => ended || open());

open();
