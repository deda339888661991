// Switches between light, dark and the system's theme. The cookie lets the
// server render the right one at once; the storage notifies other tabs.
const root = document.documentElement;
const button = document.getElementById("theme");
const order = ["", "light", "dark"];
const words = { "": "System", light: "Light", dark: "Dark" };

function apply(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  if (button) {
    button.title = `Theme: ${words[theme]}`;
    button.setAttribute("aria-label", `Theme: ${words[theme]}. Change`);
  }
}

function keep(theme) {
  const age = theme ? 31536000 : 0;
  document.cookie = `theme=${theme}; Path=/; Max-Age=${age}; SameSite=Lax`;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Storage may be forbidden; the cookie suffices.
  }
}

button?.addEventListener("click", () => {
  const next = order[(order.indexOf(root.dataset.theme ?? "") + 1) % order.length];
  keep(next);
  apply(next);
});
addEventListener("storage", (event) => {
  if (event.key === "theme" && order.includes(event.newValue ?? "")) apply(event.newValue ?? "");
});
apply(root.dataset.theme ?? "");
