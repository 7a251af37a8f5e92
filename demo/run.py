"""Restore the small photograph beside this file with the shipped model, and compare."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.images import Picture, psnr_y, read, resize, write

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
MODEL = "sr-x2"
CROP = (150, 262, 120)  # top, left and side of the detail, in pixels of the original

Pixels = NDArray[np.uint8]


def main() -> None:
    small = read(HERE / "budgie-small.png").rgb8()
    original = read(HERE / "budgie.webp").rgb8()
    restorer = iln.Restorer(MODEL)
    print(f"restoring demo/budgie-small.png with the shipped model {MODEL} ...")
    started = time.perf_counter()
    restored: Pixels = restorer(small)
    seconds = time.perf_counter() - started
    bicubic = resize(small, restorer.scale)

    OUT.mkdir(exist_ok=True)
    write(Picture(restored), OUT / "budgie-restored.png", overwrite=True)
    scores = [psnr_y(image, original, border=restorer.scale) for image in (bicubic, restored)]
    panels = [
        (f"before: bicubic, {scores[0]:.2f} dB", bicubic),
        (f"after: iln {MODEL}, {scores[1]:.2f} dB", restored),
        ("the original", original),
    ]
    comparison(panels).save(OUT / "before-after.png")

    print(f"{small.shape[1]}x{small.shape[0]} -> {restored.shape[1]}x{restored.shape[0]} pixels")
    print(f"time      {seconds:.1f} s")
    print(f"bicubic   {scores[0]:.2f} dB")
    print(f"restored  {scores[1]:.2f} dB   (Y-PSNR against the original; higher is better)")
    print("result    demo/out/budgie-restored.png")
    print("compare   demo/out/before-after.png")


def comparison(panels: list[tuple[str, Pixels]]) -> Image.Image:
    """Each picture with its title, and below it the same detail, enlarged without smoothing."""
    side, gap, title = 384, 8, 26
    top, left, crop = CROP
    canvas = Image.new("RGB", (len(panels) * (side + gap) + gap, title + 2 * (side + gap)), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=15)
    for column, (name, pixels) in enumerate(panels):
        x = gap + column * (side + gap)
        whole = Image.fromarray(pixels)
        detail = whole.crop((left, top, left + crop, top + crop))
        draw.text((x, 4), name, fill="black", font=font)
        canvas.paste(whole.resize((side, side), Image.Resampling.LANCZOS), (x, title))
        zoomed = detail.resize((side, side), Image.Resampling.NEAREST)
        canvas.paste(zoomed, (x, title + side + gap))
    return canvas


if __name__ == "__main__":
    main()
