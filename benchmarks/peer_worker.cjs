// One network of npm on pictures, alone in its process, as peer_worker.py has programs of Python.
//
//     node peer_worker.cjs PACKAGE FOLDER        where node_modules lies
//
// Reads FOLDER/in/*.npy, (H, W, 3) uint8, and writes the results to FOLDER/out. The last line
// printed is JSON: CPU seconds of this process after each picture, counted from its start, and the
// peak of its memory in bytes.

const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const [name, folder] = process.argv.slice(2);
const installed = createRequire(path.join(process.cwd(), "here.cjs"));
const tf = installed("@tensorflow/tfjs");
const wasm = installed("@tensorflow/tfjs-backend-wasm");

main();

async function main() {
  wasm.setWasmPaths(path.dirname(installed.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);
  wasm.setThreadsCount(1);
  await tf.setBackend("wasm");
  const restore = await load(installed(name));
  const done = [];
  for (const file of fs.readdirSync(path.join(folder, "in")).sort()) {
    const result = restore(readNpy(path.join(folder, "in", file)));
    writeNpy(path.join(folder, "out", file), result);
    done.push(cpuSeconds());
  }
  console.log(JSON.stringify({ done, peak: peakBytes() }));
}

/** The network of one of UpscalerJS' packages, which say how it wants its numbers. */
async function load(definition) {
  const { modelType, setup, inputRange, outputRange, divisibilityFactor, _internals } = definition;
  const root = path.join("node_modules", ..._internals.name.split("/"));
  if (setup) setup(tf);
  let model;
  if (modelType === "graph") {
    tf.registerOp("Einsum", einsum); // the WASM backend has none
    model = await tf.loadGraphModel(fromDisk(path.join(root, _internals.path)));
  } else {
    model = await tf.loadLayersModel(fromDisk(path.join(root, _internals.path)));
  }
  return (picture) =>
    tf.tidy(() => {
      const [height, width] = picture.shape;
      const values = tf.cast(picture, "float32").mul(inputRange[1] / 255);
      const step = divisibilityFactor || 1;
      const padded = values.mirrorPad(
        [[0, -height & (step - 1)], [0, -width & (step - 1)], [0, 0]],
        "symmetric",
      );
      const result = model.predict(padded.expandDims()).squeeze([0]);
      const scale = result.shape[0] / padded.shape[0];
      return result
        .slice([0, 0, 0], [height * scale, width * scale, 3])
        .mul(255 / outputRange[1])
        .round()
        .clipByValue(0, 255);
    });
}

/** Of two tensors that share one index, which is summed over. */
function einsum({ inputs: [a, b], attrs: { equation } }) {
  const [terms, order] = equation.replaceAll(" ", "").split("->");
  const [left, right] = terms.split(",").map((term) => [...term]);
  const shared = left.filter((index) => right.includes(index));
  if (shared.length !== 1 || order.includes(shared[0])) {
    throw new Error(`einsum ${equation}: only for one shared index, summed over`);
  }
  const at = [left.indexOf(shared[0]), right.indexOf(shared[0])];
  const without = (list, place) => list.filter((_, i) => i !== place);
  const last = a.transpose([...without([...left.keys()], at[0]), at[0]]);
  const first = b.transpose([at[1], ...without([...right.keys()], at[1])]);
  const size = a.shape[at[0]];
  const product = last.reshape([-1, size]).matMul(first.reshape([size, -1]));
  const free = [...without(left, at[0]), ...without(right, at[1])];
  return product
    .reshape([...without(a.shape, at[0]), ...without(b.shape, at[1])])
    .transpose([...order].map((index) => free.indexOf(index)));
}

/** What tf.io.fileSystem of tfjs-node does. */
function fromDisk(file) {
  return {
    load: async () => {
      const stored = JSON.parse(fs.readFileSync(file, "utf8"));
      const parts = stored.weightsManifest.flatMap((group) => group.paths);
      const bytes = Buffer.concat(
        parts.map((part) => fs.readFileSync(path.join(path.dirname(file), part))),
      );
      return {
        ...stored,
        weightSpecs: stored.weightsManifest.flatMap((group) => group.weights),
        weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
      };
    },
  };
}

function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8);
  const [, shape] = bytes.toString("latin1", 10, start).match(/'shape': \(([^)]*)\)/);
  return tf.tensor(new Uint8Array(bytes.subarray(start)), shape.split(",").map(Number), "int32");
}

function writeNpy(file, tensor) {
  const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${tensor.shape}), }`;
  const padded = header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11) + "\n";
  const start = Buffer.from("\x93NUMPY\x01\x00..", "latin1");
  start.writeUInt16LE(padded.length, 8);
  fs.writeFileSync(file, Buffer.concat([start, Buffer.from(padded), Buffer.from(tensor.dataSync())]));
  tensor.dispose();
}

function cpuSeconds() {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
}

function peakBytes() {
  const [, kilobytes] = fs.readFileSync("/proc/self/status", "utf8").match(/VmHWM:\s+(\d+)/);
  return kilobytes * 1024;
}
