// The pictures in a list: each with its state, its progress, what went wrong, and what can be done.

import * as words from "./words.js";

function element(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

export class List {
  constructor(root, { onOpen, onCancel, onRemove }) {
    this.root = root;
    this.actions = { onOpen, onCancel, onRemove };
    this.items = new Map();
  }

  // In place, so that the focus stays where it is.
  show(jobs, current) {
    const ids = new Set(jobs.map((job) => job.id));
    for (const [id, item] of this.items) {
      if (!ids.has(id)) {
        item.image.removeAttribute("src"); // stops its loading
        item.root.remove();
        this.items.delete(id);
      }
    }
    for (const job of jobs) {
      const item = this.items.get(job.id) ?? this.add(job);
      this.update(item, job, job.id === current);
    }
  }

  add(job) {
    const item = {
      image: element("img", { alt: "", loading: "lazy" }),
      state: element("span", { className: "state" }),
      bar: element("progress", { max: 1, ariaLabel: job.name }),
      problem: element("p", { className: "problem", id: `problem-${job.id}` }),
      save: element("a", { className: "button", textContent: "Save" }),
      cancel: element("button", { type: "button", textContent: "Cancel" }),
      remove: element("button", { type: "button", textContent: "Remove" }),
    };
    item.save.setAttribute("aria-label", `Save ${job.name}`);
    item.cancel.setAttribute("aria-label", `Cancel ${job.name}`);
    item.remove.setAttribute("aria-label", `Remove ${job.name}`);
    item.save.download = "";
    const name = element("span", { className: "name", textContent: job.name, title: job.name });
    item.open = element("button", { type: "button", className: "open" },
      item.image, element("span", {}, name, item.state));
    item.root = element("li", { className: "item" }, item.open, item.bar, item.problem,
      element("div", { className: "buttons" }, item.save, item.cancel, item.remove));
    item.open.addEventListener("click", () => this.actions.onOpen(job.id));
    item.cancel.addEventListener("click", () => this.actions.onCancel(job.id));
    item.remove.addEventListener("click", () => this.actions.onRemove(job.id));
    this.items.set(job.id, item);
    this.root.append(item.root);
    return item;
  }

  update(item, job, current) {
    const busy = job.state === "waiting" || job.state === "running";
    item.root.classList.toggle("current", current);
    item.root.dataset.state = job.state;
    if (current) item.open.setAttribute("aria-current", "true");
    else item.open.removeAttribute("aria-current");
    item.state.textContent = words.state(job);
    item.bar.hidden = job.state !== "running";
    item.bar.value = job.share;
    item.problem.textContent = job.problem ?? "";
    item.problem.hidden = !job.problem;
    if (job.problem) item.open.setAttribute("aria-describedby", item.problem.id);
    else item.open.removeAttribute("aria-describedby");
    item.save.hidden = busy || !job.result; // that of an earlier run stays where one fails
    item.save.href = `jobs/${job.id}/result`;
    item.cancel.hidden = !busy;
    item.remove.hidden = busy;
    const tile = job.width ? `jobs/${job.id}/tiles/before/0/0/0` : "";
    if (tile && item.image.getAttribute("src") !== tile) item.image.src = tile;
  }
}
