// Colours of the timeline, and its legend of jobs.
//
// Contract: the style sheet has the colours as custom properties, job-a to
// job-l for jobs. An element with data-job and data-ink sets a job's colour.
// #timeline-jobs, on pages of all jobs, receives their names.
const RING = "abcdefghijkl";
const MOST_NAMES = 24;

export class Colours extends EventTarget {
  #values = new Map();
  #inks = new Map();

  constructor(box) {
    super();
    this.probe = document.createElement("i");
    this.probe.hidden = true;
    box.append(this.probe);
    this.#readInks();
    document.addEventListener("patched", () => this.#readInks());
    const change = () => {
      this.#values = new Map();
      this.dispatchEvent(new Event("changed"));
    };
    new MutationObserver(change).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", change);
  }

  // of returns a custom property in the canvas' syntax.
  of(name) {
    let value = this.#values.get(name);
    if (!value) {
      this.probe.style.color = `var(--${name})`;
      value = getComputedStyle(this.probe).color;
      this.#values.set(name, value);
    }
    return value;
  }

  // ink returns the name of a job's colour: the one that the page gives, or
  // gave while the job ran, else one that follows from its id, as in JobInk in
  // views/nodes.go.
  ink(job) {
    return this.#inks.get(job) ?? `job-${RING[(parseInt(job.slice(-6), 16) || 0) % RING.length]}`;
  }

  #readInks() {
    for (const { dataset } of document.querySelectorAll("[data-job][data-ink]")) this.#inks.set(dataset.job, dataset.ink);
  }

  // listJobs lists the jobs with their colours.
  listJobs({ rects, names }) {
    const list = document.getElementById("timeline-jobs");
    const ids = [...new Set(rects.map((r) => r.job))].sort();
    const items = ids.slice(0, MOST_NAMES).map((job) => {
      const item = document.createElement("li");
      item.innerHTML = '<svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" rx="2"></rect></svg><a></a>';
      item.firstChild.firstChild.setAttribute("class", this.ink(job));
      item.lastChild.href = `/jobs/${job}`;
      item.lastChild.textContent = names.get(job);
      return item;
    });
    if (ids.length > MOST_NAMES) items.push(Object.assign(document.createElement("li"), { textContent: `and ${ids.length - MOST_NAMES} more` }));
    if (list.innerHTML !== items.map((i) => i.outerHTML).join("")) list.replaceChildren(...items);
  }
}
