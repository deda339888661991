// Copy buttons. Contract: data-copy names the element whose text the button
// copies.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  if (!source) return;
  const text = source.dataset.text ?? source.value ?? source.textContent;
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // An insecure context has no clipboard: select the text for the reader.
    getSelection().selectAllChildren(source);
    done = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
  const label = button.lastElementChild;
  const before = (button.dataset.label ??= label.textContent);
  label.textContent = done;
  clearTimeout(button.copyTimer);
  button.copyTimer = setTimeout(() => (label.textContent = before), 1500);
});
