// Pictures from wherever people have them: chosen, dropped, pasted; folders too.

const READABLE = /\.(jpe?g|jpe|jfif|png|tiff?|webp|avif|bmp|gif|mpo|p[pgbn]m|hei[cf]|jxl)$/i;

// Of a folder: what is a picture by its name, and no earlier result.
const ofFolder = (file) =>
  READABLE.test(file.name) && !file.name.startsWith(".") && !/_restored\.[^.]+$/.test(file.name);

export function watch({ onFiles, zone }) {
  const files = document.getElementById("files");
  const folder = document.getElementById("folder"); // not on every page
  document.getElementById("choose").addEventListener("click", () => files.click());
  document.getElementById("choose-folder")?.addEventListener("click", () => folder.click());
  files.addEventListener("change", () => {
    onFiles([...files.files]);
    files.value = "";
  });
  folder?.addEventListener("change", () => {
    onFiles([...folder.files].filter(ofFolder));
    folder.value = "";
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) onFiles([...event.clipboardData.files]);
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  zone.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    onFiles(await dropped(event.dataTransfer));
  });
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  for (const entry of entries) await collect(entry, found, false);
  return found;
}

async function collect(entry, found, inFolder) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    if (!inFolder || ofFolder(file)) found.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader hands out a hundred at a time.
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const one of some) await collect(one, found, true);
  }
}
