// The marks of a picture as a layer that can be painted and erased. What is inside counts.

const COLOUR = "#ff2bd6";

export class Marks {
  constructor({ onChange, brush, size }) {
    this.onChange = onChange;
    this.brush = brush;
    this.size = size;
    this.clear();
  }

  clear() {
    this.base = null;
    this.canvas = null;
    this.strokes = [];
    this.job = null;
    this.wanted = null;
  }

  // Loads where a restoration changed the picture: a gray picture, which becomes a coloured veil.
  async load(job) {
    const image = new Image();
    image.src = `jobs/${job.id}/mask?run=${job.run}`;
    this.wanted = job;
    await image.decode();
    if (this.wanted !== job) return; // another picture was opened meanwhile
    this.base = document.createElement("canvas");
    this.base.width = image.naturalWidth;
    this.base.height = image.naturalHeight;
    const context = this.base.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, this.base.width, this.base.height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      pixels.data[at + 3] = pixels.data[at];
      [pixels.data[at], pixels.data[at + 1], pixels.data[at + 2]] = [255, 43, 214];
    }
    context.putImageData(pixels, 0, 0);
    this.canvas = document.createElement("canvas");
    this.job = job;
    this.strokes = [];
    this.replay();
  }

  replay() {
    this.canvas.width = this.base.width; // also empties it
    this.canvas.height = this.base.height;
    this.canvas.getContext("2d").drawImage(this.base, 0, 0);
    for (const stroke of this.strokes) this.line(stroke, 0);
    this.onChange();
  }

  // As the viewer wants a layer.

  draw(context, width, height) {
    if (!this.canvas) return;
    context.globalAlpha = 0.6;
    context.drawImage(this.canvas, 0, 0, width, height);
    context.globalAlpha = 1;
  }

  paints() {
    return this.canvas && this.brush() !== "move";
  }

  down(place) {
    const size = (this.size() / 1000) * Math.max(this.canvas.width, this.canvas.height);
    this.strokes.push({ erase: this.brush() === "erase", size, places: [place] });
    this.line(this.strokes.at(-1), 0);
    this.onChange();
  }

  move(place) {
    const stroke = this.strokes.at(-1);
    stroke.places.push(place);
    this.line(stroke, stroke.places.length - 2);
    this.onChange();
  }


  stamp(place) {
    if (this.paints()) this.down(place);
  }

  // A stroke, from one of its places on.
  line({ erase, size, places }, from) {
    const context = this.canvas.getContext("2d");
    context.globalCompositeOperation = erase ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = COLOUR;
    context.lineWidth = size;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    if (from === 0) { // a line of no length is drawn by some browsers only
      context.arc(places[0].x * this.canvas.width, places[0].y * this.canvas.height, size / 2, 0, 7);
      context.fill();
      context.beginPath();
    }
    for (const { x, y } of places.slice(from)) {
      context.lineTo(x * this.canvas.width, y * this.canvas.height);
    }
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  undo() {
    if (this.strokes.pop()) this.replay();
  }

  // As a gray picture again.
  picture() {
    const copy = document.createElement("canvas");
    copy.width = this.canvas.width;
    copy.height = this.canvas.height;
    const context = copy.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, copy.width, copy.height);
    context.globalCompositeOperation = "destination-over";
    context.fillStyle = "#000";
    context.fillRect(0, 0, copy.width, copy.height);
    return new Promise((done) => copy.toBlob(done, "image/png"));
  }
}
