// onnxruntime-web and the network, as well as this device can have them.

import { Program } from "./program.js";

const MOST_THREADS = 8;

// wanted: `engine` (wasm, webgpu) and `precision` (fp32, fp16), where not chosen by the device.
// Returns the program, and in `words` what computes.
export async function start(model, wanted, tell) {
  const adapter = wanted.engine === "wasm" ? null : await graphics(wanted.engine === "webgpu");
  if (adapter) {
    try {
      return await startOn("webgpu", model, wanted, adapter, tell);
    } catch (error) {
      if (wanted.engine) throw error;
      console.info(`WebGPU fails, so the processor computes: ${error.message}`);
    }
  }
  return startOn("wasm", model, wanted, null, tell);
}

async function startOn(engine, model, wanted, adapter, tell) {
  const ort = await import(`../runtime/ort.${engine}.min.mjs`);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = new URL("../runtime/", import.meta.url).href;
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  ort.env.wasm.numThreads = threads;
  const fast = adapter?.features.has("shader-f16") ? "fp16" : "fp32";
  const chosen = wanted.precision ?? fast;
  const precision = model.precisions.includes(chosen) ? chosen : "fp32";
  const folder = new URL(`../model/${precision}`, import.meta.url).href;
  const program = await Program.load(ort, folder, [engine], tell);
  const by = engine === "webgpu" ? "graphics chip (WebGPU)"
    : `processor (WebAssembly, ${threads === 1 ? "one thread" : `${threads} threads`})`;
  return { program, words: `Computed by the ${by} in ${precision}.` };
}

// A chip, unless it is one that the processor only plays.
async function graphics(any) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const played = adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter;
  return adapter && (any || !played) ? adapter : null;
}
