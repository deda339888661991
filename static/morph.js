// Morphs elements of the page into newly rendered ones, and keeps the existing
// nodes: focus, selection, scroll positions and open folds stay.

// The reader, not the server, decides which folds are open.
const readersOwn = (el, name) => name === "open" && (el.nodeName === "DETAILS" || el.nodeName === "DIALOG");

function attributes(have, want) {
  for (const { name, value } of want.attributes) {
    if (!readersOwn(have, name) && have.getAttribute(name) !== value) have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) {
    if (!readersOwn(have, name) && !want.hasAttribute(name)) have.removeAttribute(name);
  }
}

function place(parent, node, before) {
  if (parent.moveBefore && node.isConnected) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

function children(have, want) {
  const keyed = new Map();
  for (const child of have.children) if (child.id) keyed.set(child.id, child);
  let at = have.firstChild;
  const kept = new Set();
  for (const node of [...want.childNodes]) {
    let match = null;
    if (node.id) {
      match = keyed.get(node.id) ?? null;
    } else {
      match = at;
      while (match && (match.id || match.nodeName !== node.nodeName)) match = match.nextSibling;
    }
    if (!match || match.nodeName !== node.nodeName) {
      have.insertBefore(node, at);
      kept.add(node);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else if (node.id) place(have, match, at);
    else at = match.nextSibling;
    kept.add(match);
    morph(match, node);
  }
  for (const child of [...have.childNodes]) if (!kept.has(child)) child.remove();
}

// morph makes have look like want. It leaves an element with data-keep, which a
// script owns, unchanged.
export function morph(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  if (have.hasAttribute("data-keep") || have.isEqualNode(want)) return;
  attributes(have, want);
  children(have, want);
}

// patch morphs every outermost element of html that has an id into the page's
// element with that id. Elements without an id only wrap others.
export function patch(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const left = new Set([...document.querySelectorAll("[data-tail]")].filter((box) => !atEnd(box)));
  apply(template.content);
  for (const box of document.querySelectorAll("[data-tail]")) if (!left.has(box)) box.scrollTop = box.scrollHeight;
  const title = document.querySelector("[data-title]")?.dataset.title;
  if (title && document.title !== title) document.title = title;
  document.dispatchEvent(new Event("patched"));
}

function apply(carrier) {
  for (const want of [...carrier.children]) {
    if (!want.id) {
      apply(want);
      continue;
    }
    const have = document.getElementById(want.id);
    if (have) morph(have, want);
  }
}

const atEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 24;

// A tail starts at its end.
for (const box of document.querySelectorAll("[data-tail]")) box.scrollTop = box.scrollHeight;
