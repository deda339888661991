// The form for a new job: shows the request as it would be sent, tries the
// first input without leaving the page, says what it waits for and how far a
// file was sent. Without this script the form works all the same.
import { morph } from "./morph.js";

const form = document.getElementById("newjob");
const value = (name) => form.elements[name]?.value ?? "";
const checked = (name) => form.elements[name]?.checked ?? false;
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

// As the server parts a command: quotes group, nothing is expanded.
function argv(text) {
  const out = [];
  let word = null;
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote === "'" && c !== "'") word += c;
    else if (quote && c === quote) quote = "";
    else if (c === "\\" && i + 1 < text.length && (!quote || '"\\'.includes(text[i + 1]))) word = (word ?? "") + text[++i];
    else if (quote) word += c;
    else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== null) out.push(word);
      word = null;
    } else word = (word ?? "") + c;
  }
  if (word !== null) out.push(word);
  return out;
}

function environment(text) {
  const env = {};
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) env[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return Object.keys(env).length ? env : undefined;
}

const whole = (name) => (value(name).trim() === "" || Number.isNaN(Number(value(name))) ? undefined : Number(value(name)));
const unless = (name, usual) => (whole(name) === usual ? undefined : whole(name));
const text = (name) => value(name).trim() || undefined;

function defs() {
  return [...value("source").matchAll(/^(?:async[ \t]+)?def[ \t]+([\p{L}_][\p{L}\p{N}_]*)[ \t]*\(/gmu)].map((m) => m[1]);
}

function program() {
  if (value("kind") === "command") {
    const output = value("output");
    return {
      command: {
        argv: argv(value("command")),
        stdin: checked("stdin") || undefined,
        env: environment(value("command_env")),
        output: output === "text" ? undefined : output,
        ok_exit_codes: value("ok_exit_codes").trim() ? words(value("ok_exit_codes")).map(Number) : undefined,
      },
    };
  }
  const call = value("call");
  return {
    python: {
      source: value("source"),
      function: text("function") ?? defs().at(-1) ?? "",
      call: call === "value" ? undefined : call,
      env: environment(value("python_env")),
      interpreter: text("interpreter"),
    },
  };
}

function inputs() {
  switch (value("inputs")) {
    case "range":
      return { range: { start: whole("range_start") ?? 0, stop: whole("range_stop") ?? 0, step: whole("range_step") ?? 1 } };
    case "items":
      try {
        const items = JSON.parse(value("items"));
        return { items: items.length > 100 ? [...items.slice(0, 100), `… and ${items.length - 100} more`] : items };
      } catch {
        return { items: ["… not a JSON array yet …"] };
      }
    case "file":
      return { lines: "… the lines of the file …" };
    case "same":
      return { lines: "… the same inputs …" };
  }
  const lines = value("lines");
  return { lines: lines.length > 4096 ? lines.slice(0, 4096) + "…" : lines };
}

function request() {
  const failures = text("max_failures");
  const policy = {
    processes: whole("processes"),
    threads: unless("threads", 1),
    cores_per_process: unless("cores_per_process", 1),
    chunk_size: whole("chunk_size"),
    timeout: text("timeout"),
    memory_limit: text("memory_limit"),
    max_attempts: unless("max_attempts", 1),
    retry_backoff: text("retry_backoff") === "1s" ? undefined : text("retry_backoff"),
    max_failures: failures && /^\d+$/.test(failures) ? Number(failures) : failures,
  };
  const tags = words(value("tags"));
  return {
    name: text("name"),
    program: program(),
    inputs: inputs(),
    queue: text("queue") === "cpu" ? undefined : text("queue"),
    priority: whole("priority") === 2 ? undefined : whole("priority"),
    policy: Object.values(policy).some((v) => v !== undefined) ? policy : undefined,
    tags: tags.length ? tags : undefined,
  };
}

// As the server sets it: what fits stays on one line.
function lay(value, margin = "", broken = false) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const list = Array.isArray(value);
  const parts = Object.entries(value)
    .filter(([, child]) => child !== undefined)
    .map(([name, child]) => [list ? "" : `${JSON.stringify(name)}: `, child]);
  const [opening, closing] = list ? "[]" : "{}";
  if (!broken || !parts.length) return opening + parts.map(([name, child]) => name + lay(child)).join(", ") + closing;
  const inner = margin + "  ";
  const lines = parts.map(([name, child]) => {
    const line = inner + name + lay(child);
    return line.length > 76 ? inner + name + lay(child, inner, true) : line;
  });
  return `${opening}\n${lines.join(",\n")}\n${margin}${closing}`;
}

function preview() {
  const target = document.getElementById("curl-text");
  const command = target.textContent;
  const begin = command.indexOf("<<'END'\n");
  if (begin < 0 || !document.getElementById("curl").open) return;
  target.textContent = command.slice(0, begin) + `<<'END'\n${lay(request(), "", true)}\nEND\n`;
}

// The function's name follows the source as long as nobody chose another one.
let last = defs().at(-1);
function follow() {
  const list = document.getElementById("functions");
  const names = defs();
  if ([...list.children].map((o) => o.value).join() !== names.join()) {
    list.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  }
  const field = form.elements.function;
  if (names.length && field.value === last && !names.includes(field.value)) field.value = names.at(-1);
  if (names.includes(field.value)) last = field.value;
}

const sizes = ["B", "KiB", "MiB", "GiB"];
function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < sizes.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${unit ? bytes.toFixed(1) : bytes} ${sizes[unit]}`;
}

async function chosen() {
  const file = form.elements.file.files[0];
  if (!file) return;
  const format = form.elements.file_format;
  if (/\.(csv|tsv)$/i.test(file.name)) format.value = "csv";
  else if (/\.(ndjson|jsonl)$/i.test(file.name)) format.value = "ndjson";
  describe(file);
}

async function describe(file) {
  const head = await file.slice(0, 300).text();
  const line = head.split("\n")[0].slice(0, 80);
  document.getElementById("file-hint").textContent = `${file.name}, ${size(file.size)}. It begins: ${line}`;
}

const say = (text) => {
  document.getElementById("busy").textContent = text;
};

function busy(text) {
  say(text);
  for (const b of form.querySelectorAll("button[type=submit]")) {
    if (text) b.setAttribute("aria-busy", "true");
    else b.removeAttribute("aria-busy");
  }
}

// Shows what the server made of the form; whether that is the form again.
function show(html, otherwise) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const fresh = page.getElementById("newjob");
  if (!fresh) {
    busy("");
    say(`${page.querySelector("h1")?.textContent ?? otherwise}. Nothing was lost.`);
    return false;
  }
  morph(form, fresh);
  document.dispatchEvent(new Event("patched"));
  const file = form.elements.file.files[0];
  if (file) describe(file).catch(() => {}); // a file that has changed is told of when it is sent
  const wrong = form.querySelector("[aria-invalid]");
  if (wrong) {
    reveal(wrong);
    wrong.focus();
  }
  preview();
  busy("");
  return true;
}

const away = "The server does not answer. Nothing was lost; try again.";

// The file that is to be sent, if it is still what was chosen.
async function chosenFile() {
  const file = value("inputs") === "file" ? form.elements.file.files[0] : undefined;
  if (!file) return null;
  try {
    await file.slice(0, 1).arrayBuffer();
    return file;
  } catch {
    form.elements.file.value = "";
    form.elements.file.focus();
    throw new Error(`${file.name} has changed since it was chosen. Please choose it again.`);
  }
}

// The beginning of a file, with enough lines in it to try the first input.
async function head(file) {
  for (let length = 1 << 20; length < file.size; length *= 4) {
    const part = file.slice(0, length);
    if ((await part.text()).split("\n", 3).length === 3) return part;
  }
  return file;
}

async function attempt(button) {
  busy("Trying …");
  try {
    const data = new FormData(form, button);
    const file = await chosenFile();
    if (file) data.set("file", await head(file), file.name);
    const answer = await fetch("/jobs/new", { method: "POST", body: data });
    if (!show(await answer.text(), answer.statusText)) return;
    const result = document.getElementById("try");
    if (!form.querySelector("[aria-invalid]")) result.scrollIntoView({ block: "nearest" });
    result.setAttribute("aria-live", "polite");
  } catch (error) {
    busy("");
    say(error instanceof TypeError ? away : error.message);
  }
}

const box = document.getElementById("upload");
const stop = document.getElementById("upload-stop");

function progress(began) {
  return (event) => {
    document.getElementById("upload-progress").value = event.loaded / event.total;
    const left = ((performance.now() - began) / 1000 / event.loaded) * (event.total - event.loaded);
    stop.hidden = event.loaded === event.total;
    document.getElementById("upload-text").textContent = stop.hidden
      ? `All of ${size(event.total)} is sent; the server reads the rest.`
      : `${Math.floor((100 * event.loaded) / event.total)} % of ${size(event.total)}, about ${Math.ceil(left)} s left`;
  };
}

// Sends the form and tells how far it is. The answer is null when it was stopped.
function send(data) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = progress(performance.now());
    request.onload = () => resolve(request);
    request.onabort = () => resolve(null);
    request.onerror = () => reject(new TypeError("network"));
    stop.onclick = () => request.abort();
    request.open("POST", "/jobs/new");
    request.send(data);
  });
}

// What was wrong the last time is not, for all that is known, while it is sent.
function forget() {
  for (const old of form.querySelectorAll("#errors > *, [id$='-error']")) old.remove();
  for (const field of form.querySelectorAll(".field.wrong")) field.classList.remove("wrong");
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

// Submits a form with a file. Everything else is checked before the file is sent.
async function upload(button) {
  busy("Submitting …");
  try {
    await chosenFile();
    const rest = new FormData(form, button);
    rest.delete("file");
    rest.set("check", "1");
    const check = await fetch("/jobs/new", { method: "POST", body: rest });
    if (check.status !== 204) {
      show(await check.text(), check.statusText);
      return;
    }
    forget();
    box.hidden = false;
    const answer = await send(new FormData(form, button));
    if (!answer) {
      busy("");
      say("Stopped. Nothing was submitted.");
    } else if (answer.status === 200 && /^\/jobs\/[^/]+$/.test(new URL(answer.responseURL).pathname)) {
      location.href = answer.responseURL;
      return;
    } else {
      show(answer.responseText, answer.statusText);
    }
  } catch (error) {
    busy("");
    say(error instanceof TypeError ? away : error.message);
  } finally {
    box.hidden = true;
  }
}

const reveal = (el) => {
  const fold = el.closest("details");
  if (fold) fold.open = true;
};

form.addEventListener("submit", (event) => {
  if (form.querySelector("[aria-busy]")) {
    event.preventDefault();
  } else if (event.submitter?.name === "try") {
    event.preventDefault();
    attempt(event.submitter);
  } else if (value("inputs") === "file" && form.elements.file.files[0]) {
    event.preventDefault();
    upload(event.submitter);
  } else {
    busy("Submitting …");
  }
});
addEventListener("pageshow", () => busy(""));
form.addEventListener("input", (event) => {
  if (event.target.name === "source") follow();
  preview();
});
form.addEventListener("change", (event) => {
  if (event.target.name === "file") chosen();
  preview();
});
document.getElementById("curl").addEventListener("toggle", preview);
form.addEventListener("click", (event) => {
  const link = event.target.closest?.(".summary a");
  const field = link && document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  reveal(field);
  (field.matches("fieldset") ? field.querySelector("input:checked") : field).focus();
});
// Ctrl+Enter submits from anywhere in the form.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(form.querySelector("button.primary"));
  }
});
follow();
