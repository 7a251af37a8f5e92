// Between pictures of 8 bits (RGBA, as browsers hold them) and a network's maps.

// {data, width, height} of one colour picture -> what the network computes of it, in RGBA.
// compute(map, tell): what restores a map. shape: window, unshuffle, scale and channels of it.
export async function restoreRgba(picture, shape, compute, tell) {
  const { data } = picture;
  const gray = isGray(data);
  const clear = hasAlpha(data);
  const colours = clear ? grown(picture) : data;
  const passes = (shape.channels === 1 && !gray ? 3 : 1) + (clear ? 1 : 0);
  let pass = 0;
  // The channels of the picture that a pass looks at -> those that it gives.
  const restored = async (channels, pixels) => {
    const number = pass++;
    const map = toMap({ ...picture, data: pixels }, shape, channels);
    const share = (done) => tell((number + done) / passes);
    return compute(map, share);
  };
  const size = { width: picture.width * shape.scale, height: picture.height * shape.scale };
  const result = { ...size, data: new Uint8ClampedArray(4 * size.width * size.height).fill(255) };
  if (shape.channels === 1 && !gray) {
    for (const c of [0, 1, 2]) put(result, await restored([c], colours), [c], false);
  } else {
    const all = shape.channels === 1 ? [0] : [0, 1, 2];
    put(result, await restored(all, colours), [0, 1, 2], gray);
  }
  if (clear) {
    const alpha = shape.channels === 1 ? [3] : [3, 3, 3];
    put(result, await restored(alpha, data), [3], true);
    keepClearAndOpaque(picture, result, shape.scale);
  }
  return { ...result, gray, alpha: clear };
}

export function isGray(data) {
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}

export function hasAlpha(data) {
  for (let i = 3; i < data.length; i += 4) if (data[i] < 255) return true;
  return false;
}

// Padded by reflection to whole windows, cells of pixels side by side in their channels, in [0, 1].
export function toMap({ data, width, height }, { window, unshuffle }, channels) {
  const whole = window * unshuffle;
  const [rows, columns] = [height, width].map((side) => Math.ceil(side / whole) * window);
  const count = channels.length * unshuffle ** 2;
  const map = { data: new Float32Array(rows * columns * count), height: rows, width: columns };
  const [ys, xs] = [bounce(height, rows * unshuffle), bounce(width, columns * unshuffle)];
  let place = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let y = 0; y < unshuffle; y++) {
        for (let x = 0; x < unshuffle; x++) {
          const pixel = ys[row * unshuffle + y] * width + xs[column * unshuffle + x];
          for (const c of channels) map.data[place++] = data[4 * pixel + c] / 255;
        }
      }
    }
  }
  return { ...map, channels: count };
}

// 0, 1, ..., length - 1, length - 2, ..., 0, 1, ...
function bounce(length, size) {
  const period = Math.max(1, 2 * (length - 1));
  return Array.from({ length: size }, (_, i) => {
    const step = i % period;
    return step < length ? step : period - step;
  });
}

// Puts a map's numbers into channels of a picture: clipped to 8 bits, and averaged if asked for.
function put(picture, map, channels, average) {
  const { data, width, height } = picture;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * map.width + x) * map.channels;
      const to = 4 * (y * width + x);
      if (!average) {
        for (const [i, c] of channels.entries()) {
          const value = map.data[from + (map.channels > 1 ? i : 0)];
          if (!Number.isFinite(value)) throw notFinite();
          data[to + c] = 255 * value;
        }
        continue;
      }
      let sum = 0;
      for (let c = 0; c < map.channels; c++) sum += map.data[from + c];
      if (!Number.isFinite(sum)) throw notFinite();
      for (const c of channels) data[to + c] = (255 * sum) / map.channels;
    }
  }
}

function notFinite() {
  return new Error("The network gave numbers that are not finite; nothing was restored.");
}

// The colours of what is seen grown under what is fully transparent, lest the network draws hidden
// colours into the edge: means over ever larger squares, weighted by alpha.
function grown({ data, width, height }) {
  const weights = new Float32Array(width * height);
  const colours = new Float32Array(3 * width * height);
  for (let i = 0; i < weights.length; i++) {
    weights[i] = data[4 * i + 3];
    for (let c = 0; c < 3; c++) colours[3 * i + c] = data[4 * i + c];
  }
  const result = data.slice();
  if (!weights.some((weight) => weight > 0)) return result;
  fill({ colours, weights, width, height });
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] > 0) continue;
    for (let c = 0; c < 3; c++) result[4 * i + c] = colours[3 * i + c];
  }
  return result;
}

const AROUND = 2;

// In place: where a picture was clear all around, or opaque, its restored alpha is, exactly. A
// network leaves faint traces there.
function keepClearAndOpaque({ data, width, height }, result, scale) {
  for (const value of [0, 255]) {
    let same = new Uint8Array(width * height);
    for (let i = 0; i < same.length; i++) same[i] = data[4 * i + 3] === value ? 1 : 0;
    same = allAlong(same, width, height, 1, width);
    same = allAlong(same, height, width, width, 1);
    for (let y = 0; y < result.height; y++) {
      for (let x = 0; x < result.width; x++) {
        const from = Math.floor(y / scale) * width + Math.floor(x / scale);
        if (same[from]) result.data[4 * (y * result.width + x) + 3] = value;
      }
    }
  }
}

// Whether a flag and those beside it in its line are set; beyond the edges nothing counts.
function allAlong(flags, length, lines, step, next) {
  const result = new Uint8Array(flags.length);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < length; i++) {
      let all = 1;
      const last = Math.min(i + AROUND, length - 1);
      for (let k = Math.max(i - AROUND, 0); k <= last; k++) all &= flags[line * next + k * step];
      result[line * next + i * step] = all;
    }
  }
  return result;
}

// In place: where there is no weight, the mean of the square around it.
function fill({ colours, weights, width, height }) {
  if (weights.every((weight) => weight > 0) || width * height === 1) return;
  const [w, h] = [(width + 1) >> 1, (height + 1) >> 1];
  const half = { colours: new Float32Array(3 * w * h), weights: new Float32Array(w * h), width: w, height: h };
  const above = (x, y) => (y >> 1) * w + (x >> 1);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * width + x, above(x, y)];
      half.weights[to] += weights[from];
      for (let c = 0; c < 3; c++) half.colours[3 * to + c] += weights[from] * colours[3 * from + c];
    }
  }
  for (let i = 0; i < half.weights.length; i++) {
    for (let c = 0; c < 3; c++) half.colours[3 * i + c] /= half.weights[i] || 1;
  }
  fill(half);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [to, from] = [y * width + x, above(x, y)];
      if (weights[to] > 0) continue;
      for (let c = 0; c < 3; c++) colours[3 * to + c] = half.colours[3 * from + c];
    }
  }
}
