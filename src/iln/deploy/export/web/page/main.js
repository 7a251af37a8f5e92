// Puts the page together: pictures go to the worker, and what it tells is shown.

import { watch } from "./files.js";
import { Viewer } from "./viewer.js";
import { percent, time } from "./words.js";

const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const wanted = { engine: query.get("engine"), precision: query.get("precision") };

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
// The picture that is shown: {id, name, state, before, after, began}.
let shown = null;
let number = 0;
let ready = false;

const viewer = new Viewer(at("canvas"), {
  split: at("split"),
  zoom: at("zoom"),
  side: (job, which) => (job[which] ? new Whole(job[which]) : null),
});

// A picture in one piece, as the viewer draws it.
class Whole {
  constructor(bitmap) {
    Object.assign(this, { bitmap, width: bitmap.width, height: bitmap.height });
  }

  draw(context) {
    context.drawImage(this.bitmap, 0, 0);
  }
}

function tell(problem) {
  at("alert").textContent = problem;
}

function add(files) {
  if (!files.length) return tell("There is no picture in this.");
  if (files.length > 1) return tell("One picture at a time, please.");
  if (!ready) return tell("The network is not loaded yet.");
  tell("");
  const [file] = files;
  release(shown);
  shown = { id: ++number, run: 1, name: file.name, state: "running", share: 0 };
  worker.postMessage({ kind: "restore", id: shown.id, file });
  return render();
}

function release(job) {
  job?.before?.close();
  job?.after?.close();
  if (job?.address) URL.revokeObjectURL(job.address);
}

function render() {
  at("drop").classList.toggle("alone", !shown);
  at("viewer").hidden = !shown?.before;
  if (!shown) return;
  const { state, after, name, share, began } = shown;
  at("viewer-title").textContent = name;
  at("viewer").dataset.state = state;
  at("working").hidden = state !== "running";
  at("share").value = share;
  const seconds = (performance.now() - began) / 1000;
  const left = share > 0.03 ? `, about ${time((seconds * (1 - share)) / share)} left` : "";
  at("left").textContent = percent(share) + left;
  for (const tag of document.querySelectorAll(".tag")) tag.hidden = !after;
  at("split").disabled = !after;
  at("save").hidden = state !== "done";
  document.title = state === "running" ? `(${percent(share)}) Restore a picture` : "Restore a picture";
  viewer.show(shown);
}

const answers = {
  ready({ model, words }) {
    ready = true;
    at("loading").hidden = true;
    at("state").textContent = "";
    at("about").hidden = false;
    at("model").textContent = model.name;
    at("does").textContent = model.does;
    at("licence").textContent = `Licence of the weights: ${model.licence}`;
    at("engine").textContent = words;
    at("card-of").hidden = !model.card;
    at("card").textContent = model.card;
    document.body.dataset.ready = "yes";
  },
  broken({ problem }) {
    at("loading").hidden = true;
    at("state").textContent = "The network cannot be loaded.";
    tell(problem);
    document.body.dataset.ready = "no";
  },
  share({ id, share }) {
    if (id) shown.share = share;
    else at("loading").value = share;
  },
  before({ bitmap }) {
    Object.assign(shown, { before: bitmap, width: bitmap.width, height: bitmap.height });
    shown.began = performance.now();
    at("facts").textContent = `${bitmap.width} × ${bitmap.height}`;
  },
  done({ bitmap, blob, seconds }) {
    Object.assign(shown, { state: "done", after: bitmap, address: URL.createObjectURL(blob) });
    shown.result = { width: bitmap.width, height: bitmap.height };
    at("facts").textContent += ` → ${bitmap.width} × ${bitmap.height}, in ${seconds.toFixed(1)} s`;
    at("save").href = shown.address;
    at("save").download = `${shown.name.replace(/\.[^.]*$/, "")}_restored.png`;
    at("said").textContent = `${shown.name} is restored`;
  },
  failed({ problem }) {
    tell(`${shown.name}: ${problem}`);
    shown.state = "failed";
  },
  cancelled() {
    shown.state = "cancelled";
  },
};

worker.onmessage = ({ data }) => {
  if (data.id && data.id !== shown?.id) return data.bitmap?.close(); // of a picture before this one
  answers[data.kind](data);
  return render();
};
worker.onerror = (event) => {
  event.preventDefault();
  answers.broken({ problem: event.message || "This browser cannot run the page's program." });
};

at("cancel").addEventListener("click", () => worker.postMessage({ kind: "cancel", id: shown.id }));
at("zoom-in").addEventListener("click", () => viewer.zoomTo(viewer.view.scale * 1.5));
at("zoom-out").addEventListener("click", () => viewer.zoomTo(viewer.view.scale / 1.5));
at("fit").addEventListener("click", () => viewer.fit());
at("full").addEventListener("click", () => viewer.zoomTo(1));

watch({ onFiles: add, zone: document });
render();
worker.postMessage({ kind: "open", wanted });
