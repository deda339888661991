// Reloads an error page as soon as the server can render the page.
const EVERY = 1000; // ms

async function ask() {
  try {
    const answer = document.hidden || (await fetch(location.href, { method: "HEAD", headers: { Accept: "text/html" }, cache: "no-store" }));
    if (answer !== true && answer.status !== 503) {
      location.reload();
      return;
    }
  } catch {
    // The server does not answer either.
  }
  setTimeout(ask, EVERY);
}
setTimeout(ask, EVERY);
