// The typed values of the form #newjob as a plain object: a text for each
// field, true or false for a checkbox. It omits files and hidden fields.

export const form = document.getElementById("newjob");

const kept = (el) => el.name && !["hidden", "file", "submit", "button"].includes(el.type);

function read(of, isOn, valueOf) {
  const values = {};
  for (const el of of.elements) {
    if (!kept(el)) continue;
    if (el.type === "radio") {
      if (isOn(el)) values[el.name] = el.value;
    } else values[el.name] = el.type === "checkbox" ? isOn(el) : valueOf(el);
  }
  return values;
}

export const typed = () =>
  read(
    form,
    (box) => box.checked,
    (el) => el.value,
  );

// served returns the values of a form as the server sent it.
export const served = (of) =>
  read(
    of,
    (box) => box.defaultChecked,
    (el) => (el.options ? ([...el.options].find((o) => o.defaultSelected) ?? el.options[0])?.value : el.defaultValue),
  );

// Typed values and the server's differ in line ends.
const plain = (value) => (typeof value === "string" ? value.replaceAll("\r\n", "\n") : value);

export const equal = (a, b) => [...new Set([...Object.keys(a), ...Object.keys(b)])].every((name) => plain(a[name]) === plain(b[name]));

// fill puts values into the form, and unfolds the sections that contain them.
export function fill(values) {
  for (const el of form.elements) {
    if (!kept(el) || !(el.name in values)) continue;
    const value = values[el.name];
    if (el.type === "radio") el.checked = el.value === value;
    else if (el.type === "checkbox") el.checked = value;
    else if (el.options && ![...el.options].some((o) => o.value === value)) continue;
    else el.value = value;
    const fold = el.closest("details");
    if (fold && typeof value === "string" && value && value !== el.defaultValue) fold.open = true;
  }
  for (const area of form.querySelectorAll("textarea[data-editor]")) area.dispatchEvent(new Event("input", { bubbles: true }));
  form.dispatchEvent(new Event("change", { bubbles: true }));
}

// label returns a field's name for a reader.
export const label = (name) => form.querySelector(`label[for="${CSS.escape(name)}"]`)?.textContent ?? name;
