// The form #newjob as a request. request() returns the request as an object,
// defs() the names of the functions in its source, lay(value) JSON in the
// server's layout.

const form = document.getElementById("newjob");
const value = (name) => form.elements[name]?.value ?? "";
const checked = (name) => form.elements[name]?.checked ?? false;
const words = (text) => text.split(/[\s,]+/).filter(Boolean);

// argv splits a command as the server does: quotes group, it expands nothing.
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

export function defs() {
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

// A number as typed: JavaScript would change 12345678901234567890 and 1.0.
class Verbatim {
  constructor(text) {
    this.text = text;
  }
}
const asTyped = (_, value, context) => (typeof value === "number" && context?.source ? new Verbatim(context.source) : value);
const integer = (name, usual) => new Verbatim(/^[+-]?\d+$/.test(value(name).trim()) ? BigInt(value(name).trim().replace("+", "")).toString() : String(usual));

function inputs() {
  switch (value("inputs")) {
    case "range":
      return { range: { start: integer("range_start", 0), stop: integer("range_stop", 0), step: integer("range_step", 1) } };
    case "items":
      try {
        const items = JSON.parse(value("items"), asTyped);
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

export function request() {
  const failures = text("max_failures");
  const policy = {
    processes: whole("processes"),
    threads: unless("threads", 1),
    cores_per_process: unless("cores_per_process", 1),
    max_tasks_per_process: whole("max_tasks_per_process"),
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

// A value that fits stays on one line.
export function lay(value, margin = "", broken = false) {
  if (value instanceof Verbatim) return value.text;
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
