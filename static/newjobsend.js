// Sends the form #newjob without leaving the page. #unsent shows errors with a
// button to retry, #busy the current step, and #upload the progress of a file.
// The form keeps the typed values.
import { morph } from "./morph.js";
import { form } from "./newjobfields.js";
import { save, submitted } from "./draft.js";

const PATIENCE = 60000; // ms without an answer, or without progress of an upload
const SMALL = 64 << 10; // largest file that is sent without a check first, in bytes

const unsent = document.getElementById("unsent");
const box = document.getElementById("upload");
const stop = document.getElementById("upload-stop");

const sizes = ["B", "KiB", "MiB", "GiB"];
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < sizes.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${unit ? bytes.toFixed(1) : bytes} ${sizes[unit]}`;
}

export const isBusy = () => form.querySelector("[aria-busy]") !== null;

export function busy(text) {
  document.getElementById("busy").textContent = text;
  for (const b of form.querySelectorAll("button[type=submit]")) {
    if (text) b.setAttribute("aria-busy", "true");
    else b.removeAttribute("aria-busy");
  }
}

function rest(text) {
  busy("");
  document.getElementById("busy").textContent = text;
}

// An Unsent states, in a sentence for the reader, why the form got no answer.
class Unsent extends Error {
  constructor(message, signIn = false) {
    super(message);
    this.signIn = signIn;
  }
}

const kept = "Your input is kept.";
const away = () => new Unsent(`The server does not answer. ${kept}`);
const slow = () => new Unsent(`The server did not answer within ${PATIENCE / 1000} s. ${kept} Trying again does not submit the job twice.`);

function fail(error, again) {
  const message = error instanceof Unsent ? error.message : `This page has an error: ${error.message} ${kept}`;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try again";
  button.onclick = () => isBusy() || again();
  const parts = [message, " "];
  if (error.signIn) {
    const link = document.createElement("a");
    link.className = "link";
    link.href = "/login";
    link.target = "_blank";
    link.textContent = "Sign in in a new tab";
    parts.push(link, " ");
  }
  rest("");
  unsent.replaceChildren(...parts, button);
  unsent.hidden = false;
  unsent.scrollIntoView({ block: "nearest" });
}

async function post(data) {
  try {
    const answer = await fetch("/jobs/new", { method: "POST", body: data, signal: AbortSignal.timeout(PATIENCE) });
    return { status: answer.status, url: answer.url, text: await answer.text() };
  } catch (error) {
    throw error.name === "TimeoutError" ? slow() : away();
  }
}

function progress(began) {
  return (event) => {
    document.getElementById("upload-progress").value = event.loaded / event.total;
    const left = ((performance.now() - began) / 1000 / event.loaded) * (event.total - event.loaded);
    stop.hidden = event.loaded === event.total;
    document.getElementById("upload-text").textContent = stop.hidden
      ? `All of ${size(event.total)} sent. The server is reading the file.`
      : `${Math.floor((100 * event.loaded) / event.total)} % of ${size(event.total)}, about ${Math.ceil(left)} s left`;
  };
}

// upload posts the form and shows the progress. It returns null when the user
// stops it.
function upload(data) {
  const request = new XMLHttpRequest();
  let timer;
  const patience = () => {
    clearTimeout(timer);
    timer = setTimeout(() => request.dispatchEvent(new Event("slow")), PATIENCE);
  };
  box.hidden = false;
  return new Promise((resolve, reject) => {
    const show = progress(performance.now());
    request.upload.onprogress = (event) => (patience(), show(event));
    request.onload = () => resolve({ status: request.status, url: request.responseURL, text: request.responseText });
    request.onabort = () => resolve(null);
    request.onerror = () => reject(away());
    request.addEventListener("slow", () => {
      reject(slow());
      request.abort();
    });
    stop.onclick = () => request.abort();
    request.open("POST", "/jobs/new");
    request.send(data);
    patience();
  }).finally(() => {
    clearTimeout(timer);
    box.hidden = true;
  });
}

// show merges the server's answer into the page.
function show(answer) {
  const page = new DOMParser().parseFromString(answer.text, "text/html");
  const fresh = page.getElementById("newjob");
  if (new URL(answer.url).pathname === "/login" || answer.status === 401) {
    throw new Unsent(`Your session has ended. Sign in, then try again. ${kept}`, true);
  }
  if (!fresh) {
    const why = page.querySelector(".failure p")?.textContent.trim() ?? "";
    throw new Unsent(`The server answered ${answer.status}: ${why || "it gave no reason."} ${kept}`);
  }
  morph(form, fresh);
  document.dispatchEvent(new Event("patched"));
  const wrong = form.querySelector("[aria-invalid]");
  if (wrong) {
    reveal(wrong);
    wrong.focus();
  }
  rest("");
}

export function reveal(el) {
  const fold = el.closest("details");
  if (fold) fold.open = true;
}

// chosen returns the file to send. It fails if the file has changed since it
// was chosen.
async function chosen() {
  if (form.elements.inputs.value !== "file") return undefined;
  const file = form.elements.file.files[0];
  try {
    await file?.slice(0, 1).arrayBuffer();
    return file;
  } catch {
    form.elements.file.value = "";
    form.elements.file.focus();
    throw new Unsent(`${file.name} has changed since it was chosen. Please choose it again.`);
  }
}

// beginning returns the form with part in place of the file.
export function beginning(file, part, button) {
  const data = new FormData();
  if (part.size < file.size) data.set("part", "1"); // it must come before the file
  for (const [name, value] of new FormData(form, button)) data.append(name, value);
  data.set("file", part, file.name);
  return data;
}

// firstLines returns a beginning of a file with enough lines to try the first
// input.
async function firstLines(file) {
  for (let length = 1 << 20; length < file.size; length *= 4) {
    const part = file.slice(0, length);
    if ((await part.text()).split("\n", 3).length === 3) return part;
  }
  return file;
}

// once runs act unless an action already runs, and shows its failure.
async function once(text, act) {
  if (isBusy()) return;
  busy(text);
  unsent.hidden = true;
  save();
  try {
    await act();
  } catch (error) {
    fail(error, () => once(text, act));
  }
}

export const attempt = (button) =>
  once("Trying …", async () => {
    const file = await chosen();
    show(await post(file ? beginning(file, await firstLines(file), button) : new FormData(form, button)));
    const result = document.getElementById("try");
    if (!form.querySelector("[aria-invalid]")) result.scrollIntoView({ block: "nearest" });
    result.setAttribute("aria-live", "polite");
  });

// Removes old errors, which may be fixed, while the file is sent.
function forget() {
  for (const old of form.querySelectorAll("#errors > *, [id$='-error']")) old.remove();
  for (const field of form.querySelectorAll(".field.wrong")) field.classList.remove("wrong");
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

export const submit = (button) =>
  once("Submitting …", async () => {
    const file = await chosen();
    if (file?.size > SMALL) {
      const data = beginning(file, file.slice(0, SMALL), button);
      data.set("check", "1");
      const check = await post(data);
      if (check.status !== 204) return show(check);
      forget();
    }
    const answer = await (file ? upload : post)(new FormData(form, button));
    if (!answer) return rest("Stopped. Nothing was submitted.");
    if (/^\/jobs\/[0-9a-f-]{36}$/.test(new URL(answer.url).pathname)) {
      submitted();
      location.href = answer.url;
      return;
    }
    show(answer);
  });
