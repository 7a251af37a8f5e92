// Before and after under one slider; zoom and pan by mouse, touch and keyboard.

const MOST = 16;
const NEAR_SPLIT = 18;
const STEP = 60;

export class Viewer {
  // side(job, "before" or "after", again): {width, height, draw(context, seen, density)}, or null;
  // it calls again() when there is more to draw, and has drop() if it loads anything.
  constructor(canvas, { split, zoom, side }) {
    this.canvas = canvas;
    this.sideOf = side;
    this.context = canvas.getContext("2d");
    this.split = split;
    this.zoom = zoom;
    this.layer = null;
    this.pointers = new Map();
    this.job = null;
    // Pixels of the screen to one of the picture, and where its corner lies.
    this.view = { scale: 1, x: 0, y: 0 };
    new ResizeObserver(() => this.resize()).observe(canvas);
    split.addEventListener("input", () => this.draw());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.up(event));
    }
    canvas.addEventListener("dblclick", () => (this.fits() ? this.zoomTo(1) : this.fit()));
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const event of ["focus", "blur"]) canvas.addEventListener(event, () => this.draw());
  }

  // Shows a job, or nothing; the view stays where the same picture has become more.
  show(job) {
    if (!job) {
      this.drop("before", "after");
      this.job = null;
      this.size = null;
      return;
    }
    const same = job.id === this.job?.id;
    if (same && job.run === this.run && job.width === this.job.width
      && Boolean(job.result) === Boolean(this.after)) {
      this.job = job;
      return;
    }
    const before = this.size;
    const again = () => this.draw();
    if (!same || !this.before) {
      this.drop("before");
      this.before = this.sideOf(job, "before", again);
    }
    this.drop("after");
    this.after = this.sideOf(job, "after", again);
    this.job = job;
    this.run = job.run;
    const shown = this.after ?? this.before;
    this.size = shown ? { width: shown.width, height: shown.height } : null;
    if (same && before && this.size && !this.fitted) {
      this.view.scale *= before.width / this.size.width;
      this.limit();
    } else {
      this.fit();
    }
  }

  drop(...sides) {
    for (const side of sides) {
      this[side]?.drop?.();
      this[side] = null;
    }
  }

  // A layer over the picture, such as marks: {draw(context, width, height), down, move, up}.
  setLayer(layer) {
    this.layer = layer;
    this.draw();
  }

  resize() {
    const dense = window.devicePixelRatio || 1;
    const { width, height } = this.canvas.getBoundingClientRect();
    this.dense = dense;
    this.canvas.width = Math.max(1, Math.round(width * dense));
    this.canvas.height = Math.max(1, Math.round(height * dense));
    if (this.fitted) this.fit();
    else this.limit();
  }

  fitScale() {
    const { width, height } = this.canvas;
    return Math.min(width / this.size.width, height / this.size.height, MOST);
  }

  fits() {
    return this.fitted || this.view.scale < 1;
  }

  fit() {
    if (!this.size) return this.draw();
    this.view.scale = this.fitScale();
    this.limit();
    this.fitted = true;
    return undefined;
  }

  // Around a place on the canvas, by default its middle.
  zoomTo(scale, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    if (!this.size) return;
    const least = Math.min(this.fitScale(), 1) / 2;
    const next = Math.min(MOST, Math.max(least, scale));
    const ratio = next / this.view.scale;
    this.view.x = x - (x - this.view.x) * ratio;
    this.view.y = y - (y - this.view.y) * ratio;
    this.view.scale = next;
    this.limit();
  }

  pan(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.limit();
  }

  // A picture that is smaller than the canvas lies in the middle; a larger one covers it.
  limit() {
    if (this.size) {
      const along = (place, length, room) =>
        length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, place));
      const { view, canvas } = this;
      view.x = along(view.x, this.size.width * view.scale, canvas.width);
      view.y = along(view.y, this.size.height * view.scale, canvas.height);
    }
    this.fitted = false;
    this.draw();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, view } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!this.size) return;
    this.zoom.value = `${Math.round(100 * view.scale)} %`;
    const line = this.after ? (canvas.width * this.split.value) / 100 : canvas.width;
    if (this.before) this.side(this.before, 0, line);
    if (this.after) {
      this.side(this.after, line, canvas.width);
      if (this.layer) this.cover();
      this.handle(line);
    }
    if (this.layer && document.activeElement === canvas) this.cross();
  }

  side(pyramid, from, to) {
    if (to <= from) return;
    const { context, canvas, view } = this;
    const scale = (view.scale * this.size.width) / pyramid.width;
    const scaleDown = (view.scale * this.size.height) / pyramid.height;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, canvas.height);
    context.clip();
    context.setTransform(scale, 0, 0, scaleDown, view.x, view.y);
    context.imageSmoothingEnabled = scale < 3;
    const seen = { left: (from - view.x) / scale, right: (to - view.x) / scale,
      top: -view.y / scaleDown, bottom: (canvas.height - view.y) / scaleDown };
    pyramid.draw(context, seen, scale);
    context.restore();
  }

  cover() {
    const { context, view } = this;
    context.save();
    context.setTransform(view.scale, 0, 0, view.scale, view.x, view.y);
    this.layer.draw(context, this.size.width, this.size.height);
    context.restore();
  }

  handle(line) {
    const { context, canvas, dense } = this;
    context.fillStyle = "#fff";
    context.strokeStyle = "#0008";
    context.lineWidth = dense;
    context.fillRect(line - dense, 0, 2 * dense, canvas.height);
    context.beginPath();
    context.arc(line, canvas.height / 2, 13 * dense, 0, 7);
    context.fill();
    context.stroke();
    context.fillStyle = "#222";
    context.font = `${15 * dense}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText("↔", line, canvas.height / 2);
  }

  // Where the keyboard paints.
  cross() {
    const { context, canvas, dense } = this;
    const [x, y] = [canvas.width / 2, canvas.height / 2];
    context.fillStyle = "#fff";
    context.fillRect(x - 9 * dense, y - dense, 18 * dense, 2 * dense);
    context.fillRect(x - dense, y - 9 * dense, 2 * dense, 18 * dense);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) * this.dense, y: (event.clientY - box.top) * this.dense };
  }

  // On the picture, as shares of its sides.
  onPicture({ x, y }) {
    const { view, size } = this;
    return { x: (x - view.x) / view.scale / size.width, y: (y - view.y) / view.scale / size.height };
  }

  down(event) {
    if (!this.size) return;
    const place = this.place(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size > 1) {
      this.action = "pinch";
      return;
    }
    const line = (this.canvas.width * this.split.value) / 100;
    const near = Math.abs(place.x - line) < NEAR_SPLIT * this.dense;
    if (this.layer?.paints()) {
      this.action = "layer";
      this.layer.down(this.onPicture(place));
    } else {
      this.action = this.after && near ? "split" : "pan";
    }
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const place = this.place(event);
    if (this.action === "pinch") this.pinch(event.pointerId, place);
    else if (this.action === "layer") this.layer?.move(this.onPicture(place));
    else if (this.action === "split") this.setSplit((100 * place.x) / this.canvas.width);
    else this.pan(place.x - last.x, place.y - last.y);
    this.pointers.set(event.pointerId, place);
    this.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.action = this.pointers.size ? "pan" : undefined;
  }

  pinch(id, place) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, found]) => found);
    const last = this.pointers.get(id);
    if (!other) return;
    const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
    const [old, now] = [middle(last, other), middle(place, other)];
    this.pan(now.x - old.x, now.y - old.y);
    this.zoomTo((this.view.scale * apart(place, other)) / apart(last, other), now.x, now.y);
  }

  setSplit(percent) {
    this.split.value = percent;
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const { x, y } = this.place(event);
    const lines = event.deltaMode === 1 ? 20 : 1;
    this.zoomTo(this.view.scale * Math.exp((-event.deltaY * lines) / 400), x, y);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.size) return;
    const step = STEP * this.dense;
    const middle = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    const keys = {
      ArrowLeft: () => this.pan(step, 0),
      ArrowRight: () => this.pan(-step, 0),
      ArrowUp: () => this.pan(0, step),
      ArrowDown: () => this.pan(0, -step),
      "+": () => this.zoomTo(this.view.scale * 1.5),
      "=": () => this.zoomTo(this.view.scale * 1.5),
      "-": () => this.zoomTo(this.view.scale / 1.5),
      0: () => this.fit(),
      1: () => this.zoomTo(1),
      " ": () => this.layer?.stamp(this.onPicture(middle)),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
    this.draw();
  }
}
