// Runs a network's steps over whole maps, some rows at a time: memory for the maps and a strip.
// What the steps are, iln.deploy.export.web.program says. A map is {data, height, width, channels},
// its numbers row by row; those of float16 are held as Uint16Array.

const PIECE = 1 << 19; // numbers of a map that a graph takes at a time, about
const BLOCK = 1 << 16; // numbers that are summed at a time
const ARRAYS = { float32: Float32Array, float16: Uint16Array };

export class Cancelled extends Error {}

export class Program {
  // Fetches what lies in a folder. tell: told which share of it is there.
  static async load(ort, folder, providers, tell) {
    const about = await (await got(`${folder}/program.json`)).json();
    const weights = await (await got(`${folder}/weights.bin`)).arrayBuffer();
    const sessions = [];
    const options = { executionProviders: providers, logSeverityLevel: 3 };
    for (let number = 0; number < about.graphs; number++) {
      tell(number / about.graphs);
      const graph = await (await got(`${folder}/${number}.onnx`)).arrayBuffer();
      sessions.push(await ort.InferenceSession.create(graph, options));
    }
    return new Program(ort, about, sessions, weights);
  }

  constructor(ort, about, sessions, weights) {
    Object.assign(this, { ort, about, sessions });
    this.weights = about.weights.map(({ type, offset, shape }) => {
      const length = shape.reduce((product, side) => product * side, 1);
      return new ort.Tensor(type, new ARRAYS[type](weights, offset, length), shape);
    });
  }

  // picture: the map that is given. tell: told which share is done. going: false ends it.
  async run(picture, tell = () => {}, going = () => true) {
    const { steps, result } = this.about;
    const maps = new Map([[0, picture]]);
    for (const [number, step] of steps.entries()) {
      const halfway = async (share) => {
        tell((number + share) / steps.length);
        await turn();
        if (!going()) throw new Cancelled();
      };
      await this[step.do](step, maps, halfway);
      for (const each of step.free) maps.delete(each);
    }
    tell(1);
    return maps.get(result);
  }

  copy(step, maps) {
    const x = maps.get(step.from[0]);
    maps.set(step.to, { ...x, data: x.data.slice() });
  }

  concatenate(step, maps) {
    const parts = step.from.map((each) => maps.get(each));
    const y = this.mapLike(step.to, parts[0]);
    let first = 0;
    for (const { data, channels } of parts) {
      for (let pixel = 0; pixel * channels < data.length; pixel++) {
        const place = pixel * y.channels + first;
        for (let c = 0; c < channels; c++) y.data[place + c] = data[pixel * channels + c];
      }
      first += channels;
    }
    maps.set(step.to, y);
  }

  async map(step, maps, tell) {
    const x = maps.get(step.from[0]);
    const y = this.mapLike(step.to, x, step.scale);
    maps.set(step.to, y);
    for (const part of strips(x, 1, step.halo)) {
      const rows = await this.compute(step.graph, step.weights, { x: part.of(x) });
      part.put(y, rows, step.scale);
      await tell(part.end / x.height);
    }
  }

  async add(step, maps, tell) {
    const [x, onto] = [maps.get(step.from[0]), maps.get(step.onto)];
    for (const part of strips(x, 1, step.halo)) {
      const given = { x: part.of(x), onto: part.of(onto) };
      part.put(onto, await this.compute(step.graph, step.weights, given), 1);
      await tell(part.end / x.height);
    }
  }

  async residual(step, maps, tell) {
    const x = maps.get(step.onto);
    const known = step.eps === undefined ? {} : statistics(x, step.eps);
    for (const part of strips(x, step.window, 0)) {
      const last = part.end === x.height;
      const graph = last ? step.graph : (step.graph_within ?? step.graph);
      const given = { x: step.shift ? rolled(x, part, step.shift) : part.of(x), ...known };
      const rows = await this.compute(graph, step.weights, given);
      if (step.shift) rollBack(x, part, step.shift, rows);
      else part.put(x, rows, 1);
      await tell(part.end / x.height);
    }
  }

  mapLike(number, { height, width }, scale = 1) {
    const { channels, type } = this.about.maps[number];
    const size = { height: height * scale, width: width * scale, channels };
    return { data: new ARRAYS[type](size.height * size.width * channels), ...size };
  }

  // Numbers of a graph for inputs, which are maps or numbers.
  async compute(graph, weights, inputs) {
    const feeds = {};
    for (const [name, value] of Object.entries(inputs)) feeds[name] = this.tensor(value);
    for (const [number, place] of weights.entries()) feeds[`w${number}`] = this.weights[place];
    const { y } = await this.sessions[graph].run(feeds);
    const { data } = y;
    return y.type === "float16" ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
  }

  tensor(value) {
    if (typeof value === "number") {
      return new this.ort.Tensor("float32", Float32Array.of(value), [1, 1, 1, 1]);
    }
    const { data, height, width, channels } = value;
    const type = data instanceof Uint16Array ? "float16" : "float32";
    return new this.ort.Tensor(type, data, [1, height, width, channels]);
  }
}

async function got(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} cannot be loaded (${answer.status})`);
  return answer;
}

// Lets messages in: a timer would wait for milliseconds.
const channel = new MessageChannel();
function turn() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

class Strip {
  constructor(top, end, above, below) {
    Object.assign(this, { top, end, above, below });
  }

  // Its rows of a map, with their context; nothing is copied.
  of(x) {
    const [top, end] = [this.top - this.above, this.end + this.below];
    const row = x.width * x.channels;
    return { ...x, data: x.data.subarray(top * row, end * row), height: end - top };
  }

  // Puts rows into a map, without their context.
  put(y, rows, scale) {
    const row = y.width * y.channels * scale;
    const inner = rows.subarray(this.above * row, rows.length - this.below * row);
    y.data.set(inner, this.top * row);
  }
}

function* strips(x, window, halo) {
  const most = Math.floor(PIECE / (x.width * x.channels * window));
  const step = Math.max(1, most) * window;
  for (let top = 0; top < x.height; top += step) {
    const end = Math.min(top + step, x.height);
    yield new Strip(top, end, Math.min(halo, top), Math.min(halo, x.height - end));
  }
}

// Rows of the map rolled up and left.
function rolled(x, { top, end }, shift) {
  const row = x.width * x.channels;
  const right = row - shift * x.channels;
  const data = new x.data.constructor((end - top) * row);
  for (let r = top; r < end; r++) {
    const from = ((r + shift) % x.height) * row;
    const to = (r - top) * row;
    data.set(x.data.subarray(from + row - right, from + row), to);
    data.set(x.data.subarray(from, from + row - right), to + right);
  }
  return { ...x, data, height: end - top };
}

function rollBack(x, { top, end }, shift, rows) {
  const row = x.width * x.channels;
  const right = row - shift * x.channels;
  for (let r = top; r < end; r++) {
    const to = ((r + shift) % x.height) * row;
    const from = (r - top) * row;
    x.data.set(rows.subarray(from, from + right), to + row - right);
    x.data.set(rows.subarray(from + right, from + row), to);
  }
}

// Mean and sigma over the whole map, summed in float64.
function statistics({ data }, eps) {
  let sum = 0;
  for (const block of blocks(data)) sum += total(block);
  const mean = sum / data.length;
  let squares = 0;
  for (const block of blocks(data)) squares += around(block, mean);
  return { mean, sigma: Math.sqrt(squares / data.length + eps) };
}

function total(block) {
  let sum = 0;
  for (let i = 0; i < block.length; i++) sum += block[i];
  return sum;
}

function around(block, mean) {
  let sum = 0;
  for (let i = 0; i < block.length; i++) sum += (block[i] - mean) * (block[i] - mean);
  return sum;
}

// Numbers of a map, some at a time, in float32.
function* blocks(data) {
  for (let start = 0; start < data.length; start += BLOCK) {
    const block = data.subarray(start, start + BLOCK);
    yield block instanceof Uint16Array ? widened(block) : block;
  }
}

function widened(block) {
  const values = halves();
  const wide = new Float32Array(block.length);
  for (let i = 0; i < block.length; i++) wide[i] = values[block[i]];
  return wide;
}

// What each of the 65536 numbers of float16 is.
let table;
function halves() {
  if (!table) {
    table = new Float32Array(1 << 16);
    for (let bits = 0; bits < table.length; bits++) {
      const [exponent, digits] = [(bits >> 10) & 31, bits & 1023];
      const size = exponent === 0 ? digits * 2 ** -24
        : exponent < 31 ? (1 + digits / 1024) * 2 ** (exponent - 15)
          : digits ? NaN : Infinity;
      table[bits] = bits >> 15 ? -size : size;
    }
  }
  return table;
}
