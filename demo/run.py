"""Restore the old print beside this file, and compare it with the original.

The print is `kitten.webp`, faded, scratched and made noisy by

    iln degrade demo/kitten.webp --seed 12 prints=1 untouched=0 strength=0.4 wear=0.85 \
        -o demo/old-print.png
"""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import iln
from iln.images import Picture, psnr_rgb, read, write

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
CROP = (130, 150, 160)
"""Top, left and side of the detail, in pixels."""

Pixels = NDArray[np.uint8]


def main() -> None:
    damaged = read(HERE / "old-print.png").rgb8()
    original = read(HERE / "kitten.webp").rgb8()
    print("restoring demo/old-print.png as does")
    print("iln restore demo/old-print.png --model old-print")
    started = time.perf_counter()
    restored: Pixels = iln.restore(damaged, "old-print")
    seconds = time.perf_counter() - started

    OUT.mkdir(exist_ok=True)
    write(Picture(restored), OUT / "old-print-restored.png", overwrite=True)
    before, after = psnr_rgb(damaged, original), psnr_rgb(restored, original)
    panels = [
        (f"an old print, {before:.2f} dB", damaged),
        (f"restored by iln, {after:.2f} dB", restored),
        ("the original", original),
    ]
    comparison(panels).save(OUT / "before-after.png")

    print(f"size      {restored.shape[1]}x{restored.shape[0]} pixels")
    print(f"time      {seconds:.1f} s")
    print(f"before    {before:.2f} dB")
    print(f"restored  {after:.2f} dB   (PSNR against the original; higher is better)")
    print("result    demo/out/old-print-restored.png")
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
