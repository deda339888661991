// Folds failures (#failures-fold) that arrive while a job's page is open, so
// that nothing moves under the reader. The reader's own folding then stays.
let seen = document.getElementById("failures-fold") !== null;

document.addEventListener("patched", () => {
  const fold = document.getElementById("failures-fold");
  if (fold && !seen) fold.open = false;
  seen ||= fold !== null;
});
