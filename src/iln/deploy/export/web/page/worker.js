// Computes beside the page, so that the page answers meanwhile.
//
//   in    open {wanted}, restore {id, file}, cancel {id}
//   out   share {share, id?}, ready {model, words}, broken {problem},
//         before {id, bitmap}, done {id, bitmap, blob, seconds}, failed {id, problem}, cancelled {id}

import { opened, rgbaOf } from "./decoding.js";
import { start } from "./engine.js";
import { restoreRgba } from "./pixels.js";
import { encodePng } from "./png.js";
import { Cancelled } from "./program.js";

let model;
let engine;
let current = null;
let last = Promise.resolve(); // a network computes one picture at a time

const say = (message, transfer = []) => self.postMessage(message, transfer);

async function open(wanted) {
  model = await (await fetch(new URL("../model/model.json", import.meta.url))).json();
  engine = await start(model, wanted, (share) => say({ kind: "share", share }));
  say({ kind: "ready", model, words: engine.words });
}

async function restore(id, file) {
  const bitmap = await opened(file);
  const { width, height } = bitmap;
  if (width * height > model.most_pixels) {
    bitmap.close();
    throw new Error(tooLarge(width, height));
  }
  const picture = rgbaOf(bitmap);
  say({ kind: "before", id, bitmap }, [bitmap]);
  const began = performance.now();
  const compute = (map, tell) => engine.program.run(map, tell, () => current === id);
  const tell = (share) => say({ kind: "share", id, share });
  const result = await restoreRgba(picture, model, compute, tell);
  const blob = await encodePng(result);
  const seconds = (performance.now() - began) / 1000;
  const shown = await createImageBitmap(new ImageData(result.data, result.width, result.height));
  say({ kind: "done", id, bitmap: shown, blob, seconds }, [shown]);
}

function tooLarge(width, height) {
  const megapixels = (pixels) => (pixels / 2 ** 20).toFixed(1).replace(".0", "");
  return `The picture has ${width} × ${height} pixels (${megapixels(width * height)} megapixels); in a browser `
    + `${megapixels(model.most_pixels)} are the most. Make it smaller, or restore it by the program iln.`;
}

function inWords(error) {
  if (error instanceof RangeError || /memory|allocat/i.test(error.message)) {
    return "The browser has not enough memory for this picture. Close other tabs, or take a smaller one.";
  }
  return error.message;
}

async function attempt(id, file) {
  try {
    await restore(id, file);
  } catch (error) {
    const problem = inWords(error);
    say(error instanceof Cancelled ? { kind: "cancelled", id } : { kind: "failed", id, problem });
  }
}

self.onmessage = ({ data: { kind, id, file, wanted } }) => {
  if (kind === "open") {
    open(wanted).catch((error) => say({ kind: "broken", problem: inWords(error) }));
  } else if (kind === "cancel") {
    if (current === id) current = null;
  } else {
    current = id;
    last = last.then(() => attempt(id, file));
  }
};
