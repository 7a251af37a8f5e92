// Writes PNG of 8 bits. A canvas would write it, too, but multiplies colours by alpha first.

const MARK = [137, 80, 78, 71, 13, 10, 26, 10];
const KINDS = { gray: [0, [0]], "gray and alpha": [4, [0, 3]], colour: [2, [0, 1, 2]], all: [6, [0, 1, 2, 3]] };

// {data (RGBA), width, height, gray, alpha} -> a Blob; only the channels that say something.
export async function encodePng({ data, width, height, gray, alpha }) {
  const kind = gray ? (alpha ? "gray and alpha" : "gray") : alpha ? "all" : "colour";
  const [number, channels] = KINDS[kind];
  const row = 1 + width * channels.length;
  const rows = new Uint8Array(row * height);
  for (let y = 0; y < height; y++) {
    const start = y * row;
    rows[start] = 1; // each number less the one to its left, which is shorter
    for (let x = 0; x < width; x++) {
      const from = 4 * (y * width + x);
      for (const [i, c] of channels.entries()) {
        const left = x ? data[from - 4 + c] : 0;
        rows[start + 1 + x * channels.length + i] = data[from + c] - left;
      }
    }
  }
  const deflated = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(deflated).arrayBuffer());
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, number);
  const parts = [
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("sRGB", Uint8Array.of(0)),
    chunk("IDAT", packed),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([Uint8Array.from(MARK), ...parts], { type: "image/png" });
}

function chunk(name, content) {
  const whole = new Uint8Array(12 + content.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) whole[4 + i] = name.charCodeAt(i);
  whole.set(content, 8);
  view.setUint32(8 + content.length, checksum(whole.subarray(4, 8 + content.length)));
  return whole;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}
