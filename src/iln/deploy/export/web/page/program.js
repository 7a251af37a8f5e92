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

  statistics(step, maps) {
    const data = statistics(maps.get(step.from[0]), step.eps);
    maps.set(step.to, { data, height: 1, width: 1, channels: 2 });
  }

  async gate(step, maps) {
    const { channels } = maps.get(step.from[0]);
    const x = { data: means(maps.get(step.from[0])), height: 1, width: 1, channels };
    maps.set(step.to, { ...x, data: await this.compute(step.graph, step, maps, { x }) });
  }

  async map(step, maps, tell) {
    const x = maps.get(step.from[0]);
    const y = this.mapLike(step.to, x, step.scale);
    for (const part of strips(x, 1, step.halo)) {
      const rows = await this.compute(step.graph, step, maps, { x: part.of(x) });
      part.put(y, part.crop(y, rows, step.scale), step.scale);
      await tell(part.end / x.height);
    }
    maps.set(step.to, y);
  }

  async add(step, maps, tell) {
    const [x, onto] = [maps.get(step.from[0]), maps.get(step.to)];
    for (const part of strips(x, 1, step.halo)) {
      const given = { x: part.of(x), onto: part.of(onto) };
      part.put(onto, part.crop(onto, await this.compute(step.graph, step, maps, given), 1), 1);
      await tell(part.end / x.height);
    }
  }

  async residual(step, maps, tell) {
    const { shift, halo } = step;
    const x = maps.get(step.to);
    // What reaches into its neighbours needs them as they were.
    const y = halo ? this.mapLike(step.to, x) : x;
    for (const part of strips(x, step.window, halo)) {
      const graph = step.graphs[(part.top > 0 ? 1 : 0) + (part.end < x.height ? 2 : 0)];
      const given = { x: shift ? rolled(x, part, shift) : part.of(x) };
      const rows = await this.compute(graph, step, maps, given);
      if (shift) rollBack(x, part, shift, rows);
      else part.put(y, rows, 1);
      await tell(part.end / x.height);
    }
    maps.set(step.to, y);
  }

  mapLike(number, { height, width }, scale = 1) {
    const { channels, type } = this.about.maps[number];
    const size = { height: height * scale, width: width * scale, channels };
    return { data: new ARRAYS[type](size.height * size.width * channels), ...size };
  }

  // What a graph makes of rows of maps, and of what the step has besides.
  async compute(graph, { weights, whole }, maps, rows) {
    const feeds = {};
    for (const [name, map] of Object.entries(rows)) feeds[name] = this.tensor(map);
    for (const [name, number] of Object.entries(whole)) feeds[name] = this.tensor(maps.get(number));
    for (const [number, place] of weights.entries()) feeds[`w${number}`] = this.weights[place];
    const { y } = await this.sessions[graph].run(feeds);
    const { data } = y;
    return y.type === "float16" ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
  }

  tensor({ data, height, width, channels }) {
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

  // Rows of the map y without their context, at `scale` rows for a row.
  crop(y, rows, scale) {
    const row = y.width * y.channels * scale;
    return rows.subarray(this.above * row, rows.length - this.below * row);
  }

  put(y, rows, scale) {
    y.data.set(rows, this.top * y.width * y.channels * scale);
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
  return Float32Array.of(mean, Math.sqrt(squares / data.length + eps));
}

// Of each channel.
function means({ data, channels }) {
  const sums = new Float64Array(channels);
  let c = 0;
  for (const block of blocks(data)) {
    for (let i = 0; i < block.length; i++) {
      sums[c] += block[i];
      c = c + 1 === channels ? 0 : c + 1;
    }
  }
  return Float32Array.from(sums, (sum) => (sum * channels) / data.length);
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
