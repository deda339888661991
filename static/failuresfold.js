// Failures that come while a job's page is open come folded (#failures-fold), so
// that nothing moves under its reader, whose fold it is from then on.
let seen = document.getElementById("failures-fold") !== null;

document.addEventListener("patched", () => {
  const fold = document.getElementById("failures-fold");
  if (fold && !seen) fold.open = false;
  seen ||= fold !== null;
});
