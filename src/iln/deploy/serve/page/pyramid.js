// A picture in tiles of several sizes: only what is seen is loaded. Level 0 is one tile.

const TILE = 512;
const HELD = 150;

export class Pyramid {
  constructor(address, width, height, onLoad) {
    this.address = address;
    this.width = width;
    this.height = height;
    this.onLoad = onLoad;
    this.top = Math.max(0, Math.ceil(Math.log2(Math.max(width, height) / TILE)));
    this.tiles = new Map();
  }

  // Draws what lies in `seen` ({left, top, right, bottom}, in pixels of the picture). The context
  // is scaled to the picture; density: pixels of the screen to one of the picture.
  draw(context, seen, density) {
    const wanted = Math.ceil(this.top + Math.log2(density) - 0.01);
    const level = Math.min(this.top, Math.max(0, wanted));
    if (level > 0) this.drawLevel(context, seen, 0);
    this.drawLevel(context, seen, level);
  }

  drawLevel(context, seen, level) {
    const shrunk = 2 ** (this.top - level);
    const side = TILE * shrunk;
    const columns = Math.ceil(this.width / side);
    const rows = Math.ceil(this.height / side);
    const first = (from) => Math.max(0, Math.floor(from / side));
    for (let row = first(seen.top); row < rows && row * side < seen.bottom; row++) {
      for (let column = first(seen.left); column < columns && column * side < seen.right; column++) {
        const image = this.tile(level, column, row);
        if (!image?.complete || !image.naturalWidth) continue;
        const [x, y] = [column * side, row * side];
        const width = Math.min(image.naturalWidth * shrunk, this.width - x);
        const height = Math.min(image.naturalHeight * shrunk, this.height - y);
        context.drawImage(image, x, y, width, height);
      }
    }
  }

  // Stops what still loads: a picture that is removed must not be asked for any more.
  drop() {
    for (const image of this.tiles.values()) if (!image.complete) image.removeAttribute("src");
    this.tiles.clear();
  }

  tile(level, column, row) {
    const key = `${level}/${column}/${row}`;
    let image = this.tiles.get(key);
    this.tiles.delete(key);
    if (!image) {
      image = new Image();
      image.addEventListener("load", this.onLoad);
      image.src = this.address(key);
      const oldest = this.tiles.keys().next().value;
      if (this.tiles.size >= HELD && !oldest.startsWith("0/")) this.tiles.delete(oldest);
    }
    this.tiles.set(key, image);
    return image;
  }
}
