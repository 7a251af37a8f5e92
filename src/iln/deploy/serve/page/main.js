// Puts the page together: what the server tells is shown, what people do is told to the server.

import * as api from "./api.js";
import { watch } from "./files.js";
import { List } from "./list.js";
import { Marks } from "./marks.js";
import { Options } from "./options.js";
import { Pyramid } from "./pyramid.js";
import { Viewer } from "./viewer.js";
import * as words from "./words.js";

const at = (id) => document.getElementById(id);

const jobs = new Map();
let order = [];
let queue = { waiting: 0, running: 0, seconds_left: null };
let current = null;
let adding = 0;
let cleared = 0;
let clearing = null; // a promise while the server is told to
const underway = new Set(); // what is being handed in, as promises
const leaving = new Set(); // asked to be removed; not shown while the server is told
let going = true;

// What each picture is to be restored with, where it was said; else what was said last.
const said = new Map();
let saidLast = JSON.parse(localStorage.getItem("iln-options") ?? "{}");
let options = null;
let limits = null;

// A picture and its result, in tiles from the server.
function side(job, which, again) {
  const size = which === "before" ? job : job.result;
  const address = (key) => `jobs/${job.id}/tiles/${which}/${key}?run=${job.run}`;
  return size?.width ? new Pyramid(address, size.width, size.height, again) : null;
}

const viewer = new Viewer(at("canvas"), { split: at("split"), zoom: at("zoom"), side });
const marks = new Marks({
  onChange: () => viewer.draw(),
  brush: () => document.querySelector("[name=brush]:checked").value,
  size: () => Number(at("brush-size").value),
});
const list = new List(at("list"), {
  onOpen: open,
  onCancel: (id) => attempt(api.cancel(id)),
  onRemove: (id) => leave([id], api.remove(id)),
});

// What was refused is said at the bottom; what is wrong with a picture stands beside it.
async function attempt(promise) {
  try {
    tell("");
    return await promise;
  } catch (error) {
    tell(error.message);
    return null;
  }
}

// Pictures go from the page at once, and come back where the server refuses.
async function leave(ids, request) {
  for (const id of ids) leaving.add(id);
  show();
  try {
    tell("");
    await request;
  } catch (error) {
    leaving.clear();
    tell(error.message);
    show();
  }
}

const SHOWN = 5;

function tell(...problems) {
  const lines = problems.filter(Boolean);
  const more = lines.length - SHOWN;
  const shown = more > 1 ? [...lines.slice(0, SHOWN), `and ${more} more`] : lines;
  at("alert").hidden = lines.length === 0;
  at("alert-lines").replaceChildren(...shown.map((words) => {
    const line = document.createElement("li");
    line.textContent = words;
    return line;
  }));
}

function all() {
  return order.map((id) => jobs.get(id)).filter((job) => job && !leaving.has(job.id));
}

const busy = (job) => job.state === "waiting" || job.state === "running";
const startable = (job) => ["ready", "cancelled"].includes(job.state);

// News from the server.

function onNews(news) {
  for (const job of news.jobs) {
    const before = jobs.get(job.id);
    jobs.set(job.id, job);
    announce(job, before);
  }
  queue = news.queue;
  if (news.ids) {
    order = news.ids;
    if (clearing) for (const id of order) leaving.add(id);
    const there = new Set(order);
    for (const id of jobs.keys()) if (!there.has(id)) jobs.delete(id);
    for (const id of leaving) if (!there.has(id)) leaving.delete(id);
  }
  show();
}

// What is there; another picture is opened where the current one has gone.
function show() {
  const there = all();
  if (!there.some((job) => job.id === current)) open(there.at(-1)?.id ?? null);
  render();
}

function announce(job, before) {
  if (!before || before.state === job.state) return;
  if (job.state === "done") at("said").textContent = `${job.name} is restored`;
  if (job.state === "failed") at("said").textContent = `${job.name} failed: ${job.problem}`;
}

function render() {
  const pictures = all();
  const some = pictures.length > 0 || adding > 0;
  at("drop").classList.toggle("alone", !some);
  at("queue").hidden = !some;
  list.show(pictures, current);
  at("overall").textContent = words.overall(pictures, queue, adding);
  const running = pictures.filter(busy);
  const bar = at("overall-bar");
  bar.hidden = running.length === 0;
  const finished = pictures.filter((job) => job.state === "done").length;
  const shares = running.reduce((sum, job) => sum + job.share, finished);
  bar.value = shares / Math.max(1, running.length + finished);
  at("save-all").hidden = finished < 2;
  at("cancel-all").hidden = running.length < 2;
  const open = pictures.filter(startable).length;
  at("restore-all").hidden = open < 2;
  at("restore-all").textContent = `Restore all ${open}`;
  at("same-for-all").hidden = pictures.length < 2;
  const left = running.length;
  document.title = left ? `(${left}) Restore pictures` : "Restore pictures";
  renderCurrent();
}

function renderCurrent() {
  const job = jobs.get(current);
  at("viewer").hidden = !job?.width;
  at("options").hidden = !job || !options;
  viewer.show(job?.width ? job : null);
  if (!job) return;
  const done = job.state === "done";
  at("viewer").dataset.state = job.state;
  for (const tag of document.querySelectorAll(".tag")) tag.hidden = !job.result;
  at("split").disabled = !job.result;
  at("viewer-title").textContent = job.name;
  at("facts").textContent = words.facts(job);
  at("notes").replaceChildren(...job.notes.map((note) => {
    const line = document.createElement("li");
    line.textContent = note;
    return line;
  }));
  at("save").hidden = busy(job) || !job.result;
  at("save").href = `jobs/${job.id}/result`;
  at("marks-open").hidden = !(done && job.result.marks);
  if (marks.job && (marks.job.id !== job.id || marks.job.run !== job.run)) closeMarks();
  at("restore").disabled = busy(job);
  at("restore").textContent = done ? "Restore again" : "Restore";
}

function open(id) {
  if (id === current) return;
  current = id;
  closeMarks();
  const job = jobs.get(id);
  if (job && options) options.write(said.get(id) ?? (job.options.model ? job.options : saidLast));
  render();
}

// Pictures come.

async function add(files) {
  if (!files.length) return tell("no pictures there");
  tell("");
  adding += files.length;
  render();
  const problems = [];
  const since = cleared;
  for (const file of files) {
    try {
      if (limits && file.size > limits.max_upload) {
        const most = limits.max_upload / 1e6;
        throw new Error(`the file has more than ${most} MB; allow it with --max-upload`);
      }
      await readable(file);
      await clearing;
      if (since !== cleared) continue;
      const job = await handIn(file);
      if (since !== cleared) leaving.add(job.id);
      else if (!jobs.has(job.id)) {
        jobs.set(job.id, job);
        order.push(job.id);
      }
      if (adding === files.length && since === cleared) open(job.id); // the first of them
    } catch (error) {
      problems.push(`${file.name}: ${error.message}`);
    } finally {
      adding -= 1;
      render();
    }
  }
  if (problems.length) tell(...problems);
  return undefined;
}

async function handIn(file) {
  const request = api.handIn(file);
  underway.add(request);
  try {
    return await request;
  } finally {
    underway.delete(request);
  }
}

async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("cannot be read; is it still there?");
  }
}

// And are restored.

async function restore(pictures) {
  going = true;
  for (const job of pictures) {
    if (!going) return;
    const started = await attempt(api.start(job.id, said.get(job.id) ?? saidLast, () => going));
    if (started && !going) await attempt(api.cancel(job.id)); // asked for meanwhile
    else if (started && jobs.get(job.id) === job) jobs.set(job.id, started); // no news yet
  }
}

function onOptions(read) {
  saidLast = read;
  localStorage.setItem("iln-options", JSON.stringify(read));
  if (at("same").checked) for (const job of all()) said.set(job.id, read);
  else said.set(current, read);
}

at("options").addEventListener("submit", (event) => {
  event.preventDefault();
  const job = jobs.get(current);
  said.set(job.id, options.read());
  restore([job]);
});
at("alert-close").addEventListener("click", () => tell());
at("restore-all").addEventListener("click", () => restore(all().filter(startable)));
at("cancel-all").addEventListener("click", async () => {
  going = false;
  for (const job of all().filter(busy).reverse()) await attempt(api.cancel(job.id));
});
at("clear").addEventListener("click", () => {
  const results = all().some((job) => job.result);
  if (!results || confirm("Delete these pictures and results from this page?")) {
    clear();
  }
});

// The server is told after what is underway has come, so that this goes too.
async function clear() {
  going = false;
  cleared += 1;
  clearing = leave(order, Promise.allSettled(underway).then(api.clear));
  await clearing;
  clearing = null;
}

// Marks.

async function openMarks() {
  const job = jobs.get(current);
  await attempt(marks.load(job));
  if (marks.job?.id !== job.id || current !== job.id) return;
  at("marks").hidden = false;
  at("marks-open").setAttribute("aria-expanded", "true");
  viewer.setLayer(marks);
  brushes();
}

function closeMarks() {
  marks.clear();
  at("marks").hidden = true;
  at("marks-open").setAttribute("aria-expanded", "false");
  viewer.setLayer(null);
  brushes();
}

function brushes() {
  at("canvas").classList.toggle("painting", Boolean(marks.paints()));
}

at("marks-open").addEventListener("click", () => (at("marks").hidden ? openMarks() : closeMarks()));
at("marks").addEventListener("change", brushes);
at("marks-undo").addEventListener("click", () => marks.undo());
at("marks-apply").addEventListener("click", async () => {
  await attempt(marks.picture().then((mask) => api.putMask(current, mask)));
});
at("marks-reset").addEventListener("click", () => attempt(api.dropMask(current)));

// The viewer's buttons.

at("zoom-in").addEventListener("click", () => viewer.zoomTo(viewer.view.scale * 1.5));
at("zoom-out").addEventListener("click", () => viewer.zoomTo(viewer.view.scale / 1.5));
at("fit").addEventListener("click", () => viewer.fit());
at("full").addEventListener("click", () => viewer.zoomTo(1));

// The start.

watch({ onFiles: add, zone: document });
render();
api.listen(onNews, (there) => {
  at("offline").hidden = there;
});
const [found, health] = await Promise.all([api.ask("models"), api.ask("health")]);
limits = health;
options = new Options(at("options"), {
  models: found.models,
  standard: found.default,
  files: health.files,
  onChange: onOptions,
});
const job = jobs.get(current);
options.write(said.get(current) ?? (job?.options.model ? job.options : saidLast));
render();
document.body.dataset.ready = "yes";
