// Buttons that put an offered text into a field. Contract: <button
// data-fill="id of the field" data-text="the text">, inside an element that is
// removed with the offer. The field's error, #ID-error, is removed too.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-fill]");
  const field = button && document.getElementById(button.dataset.fill);
  if (!field) return;
  field.value = button.dataset.text;
  field.removeAttribute("aria-invalid");
  field.closest(".field")?.classList.remove("wrong");
  document.getElementById(`${field.id}-error`)?.remove();
  for (const link of document.querySelectorAll(`#errors a[href="#${field.id}"]`)) link.closest("li").remove();
  if (!document.querySelector("#errors li")) document.querySelector("#errors > *")?.remove();
  button.closest(".offer")?.remove();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
});
