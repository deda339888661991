// Keeps a draft of the form #newjob in this browser until it is submitted, one
// for each address and user (data-user of the form). The tab's store serves
// Back; the browser's store serves another tab when this one is gone. The
// element #draft states what was restored, and can discard it.
import { equal, fill, form, label, served, typed } from "./newjobfields.js";

const MOST = 1 << 20; // characters of one draft
const DRAFTS = 12; // in one store
const AGE = 30 * 24 * 3600 * 1000; // ms
const PAUSE = 300; // ms without a keystroke

const prefix = `draft ${form.dataset.user} `;
const query = new URLSearchParams(location.search);
const address = location.pathname + ["from", "example"].map((name) => (query.has(name) ? `?${name}=${query.get(name)}` : "")).join("");
const name = prefix + address;
const clean = [served(form)]; // forms without typed values
const box = document.getElementById("draft");

const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

function stores() {
  try {
    return [sessionStorage, localStorage];
  } catch {
    return []; // this browser has no storage
  }
}

function parse(text) {
  try {
    const draft = JSON.parse(text);
    return draft?.values && Date.now() - draft.at < AGE ? draft : null;
  } catch {
    return null;
  }
}

const read = () => stores().map((store) => parse(store.getItem(name))).find((draft) => draft);

// tab returns the id that marks this tab's drafts.
function tab() {
  const [session] = stores();
  if (!session) return "";
  if (!session.getItem("tab")) session.setItem("tab", random());
  return session.getItem("tab");
}

// oldest returns the key of the next draft to evict: one that has expired, or
// is beyond the limit.
function oldest(store, most) {
  const all = Object.keys(store).filter((key) => key.startsWith("draft ") && key !== name);
  const at = (key) => parse(store.getItem(key))?.at ?? 0;
  all.sort((a, b) => at(a) - at(b));
  return all.length >= most || (all.length && !at(all[0])) ? all[0] : undefined;
}

function put(store, text) {
  for (let key = oldest(store, DRAFTS); key; key = oldest(store, DRAFTS)) store.removeItem(key);
  for (;;) {
    try {
      store.setItem(name, text);
      return true;
    } catch {
      const key = oldest(store, 1);
      if (!key) return false;
      store.removeItem(key);
    }
  }
}

// say shows a sentence with buttons, each a word and its action.
export function say(text, ...actions) {
  const buttons = actions.map(([word, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = word;
    button.onclick = act;
    return button;
  });
  box.replaceChildren(text, ...buttons.flatMap((button) => [" ", button]));
}

let timer = 0;
let sent = false;
let warned = false;

// The idempotency key makes it safe to submit again, also after a reload.
const key = form.elements.key;

export function save() {
  clearTimeout(timer);
  timer = 0;
  if (sent) return;
  const values = typed();
  const file = form.elements.file.files[0]?.name;
  if (!file && clean.some((of) => equal(of, values))) {
    forget();
    return;
  }
  const cut = [];
  for (const [field, value] of Object.entries(values).sort((a, b) => String(b[1]).length - String(a[1]).length)) {
    if (JSON.stringify(values).length <= MOST) break;
    cut.push(field);
    delete values[field];
  }
  const text = JSON.stringify({ at: Date.now(), tab: tab(), key: key.value, values, file, cut });
  const done = stores().filter((store) => put(store, text)).length;
  if (!done || cut.length) {
    const what = done ? cut.map(label).join(", ") : "What you type";
    if (!warned) say(`${what} will not be kept when you leave: this browser has no room for it.`);
    warned = true;
  }
}

function forget() {
  const mine = tab();
  for (const store of stores()) {
    const draft = parse(store.getItem(name));
    if (!draft || draft.tab === mine) store.removeItem(name);
  }
}

// submitted removes the draft.
export function submitted() {
  forget();
  sent = true;
}

// isTyped reports whether the form has typed values.
export const isTyped = () => {
  const values = typed();
  return !clean.some((of) => equal(of, values));
};

// replace puts values that were not typed into the form.
export function replace(values) {
  clean.push({ ...typed(), ...values });
  fill(values);
  save();
}

const minutes = (ms) => {
  const min = Math.round(ms / 60000);
  if (min < 1) return "just now";
  if (min < 60) return `${min} min ago`;
  return min < 2880 ? `${Math.round(min / 60)} h ago` : `${Math.round(min / 1440)} d ago`;
};

function restore() {
  const draft = read();
  if (!draft) return;
  const values = { ...typed(), ...draft.values };
  if (draft.key) key.value = draft.key;
  if (equal(values, clean[0]) && !draft.file) return;
  fill(values);
  const lost = [draft.file && `choose ${draft.file} again`, draft.cut?.length && `${draft.cut.map(label).join(", ")} was too long to keep`].filter(Boolean);
  say(`Restored what you typed ${minutes(Date.now() - draft.at)}${lost.map((what) => `; ${what}`).join("")}.`, [
    "Discard",
    () => {
      fill(clean[0]);
      forget();
      say("Discarded.", ["Undo", () => (fill(values), save(), say(""))]);
    },
  ]);
  save();
}

key.value = random();
restore();
form.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(save, PAUSE);
});
form.addEventListener("change", save);
addEventListener("pagehide", save);
document.addEventListener("visibilitychange", save);
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  if (sent) key.value = random();
  sent = false;
});
