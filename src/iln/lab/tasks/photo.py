"""Blind restoration of old photographs and phone pictures, whose damage nobody knows.

The damage is made as for Real-ESRGAN (Wang et al., 2021): blur, resizing, noise and JPEG, twice
over, in random order (as in BSRGAN, Zhang et al., 2021), and at the end a sinc filter and JPEG.
Between the two rounds lies, for some pictures, what happens to a print until it is scanned:
fading, stains, scratches and dust. On request it has what cameras, scanners and messengers leave
besides: coarse grain, blotches of colour, halos of sharpening, a second JPEG on another grid, and
the paper or the screen of a print.
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from iln.lab.degradations import (
    JPEG_UNIT,
    coarse_noise,
    convolve,
    fade,
    gaussian_noise,
    halftone,
    jpeg,
    monochrome,
    poisson_noise,
    resized,
)
from iln.lab.degradations.bands import Kernel
from iln.lab.degradations.kernels import gaussian, sinc, unsharp
from iln.lab.degradations.prints import dust, scratches, stains
from iln.lab.degradations.resizing import METHODS, Method
from iln.lab.tasks.ranges import Range, Share, Within
from iln.lab.tasks.scores import PSNR_RGB, PSNR_Y, SSIM_Y
from iln.lab.tasks.task import Metric, Pair, Pixels, Task


class Photo(Task):
    """Everything at once, in any strength from none to ruin."""

    scale: Literal[1, 2, 4] = 1
    margin: ClassVar[int] = 24  # about what both rounds' blur reaches; more would cost time
    tested: ClassVar = ("strength", {"mild": 0.2, "medium": 0.5, "strong": 0.9})
    strength: Annotated[Range, Within(0, 1)] = Range(0, 1)
    """Drawn for each picture; at 0 nothing but the shrinking by `scale` happens."""
    prints: Share = 0.3
    """Share of pictures that are old prints."""
    wear: Annotated[Range, Within(0, 1)] = Range(0, 1)
    """How faded, stained, scratched and dusty a print is: a worn print may have a good scan."""
    processed: Share = 0.0
    """Share of pictures with what cameras, scanners and messengers leave besides: coarse grain,
    blotches of colour, halos of sharpening, a second JPEG; prints show their paper or screen."""
    untouched: Share = 0.1
    """Share of pictures without any damage: a network must learn to leave those alone, too."""
    colourless: Share = 0.15
    """Share of training crops without colours on both sides, gray or sepia: a network must not
    colour what never had a colour."""

    def training_pair(self, crop: Pixels, rng: np.random.Generator) -> Pair:
        if rng.random() < self.colourless:
            crop = monochrome(crop, rng)
        return self.shifted_pair(crop, rng, min(JPEG_UNIT, self.margin // self.scale))

    def degrade(self, target: Pixels, rng: np.random.Generator) -> Pixels:
        height, width = target.shape[0] // self.scale, target.shape[1] // self.scale
        strength = self.strength.draw(rng)
        if rng.random() < self.untouched or strength == 0:
            return resized(target, (height, width), "bicubic")
        first, second = rounds(strength, self.scale)
        # (No random number is drawn for what is not asked for: the same seeds, the same damage.)
        processed = self.processed > 0 and rng.random() < self.processed
        picture = through(first, target, target.shape[:2], rng)
        if rng.random() < self.prints:
            if processed:
                picture = _printed(picture, strength, rng)
            picture = _aged(picture, self.wear.draw(rng), rng)
        picture = through(second, picture, (height, width), rng)
        if processed:
            picture = _processed(picture, strength, rng)
        return delivered(picture, (height, width), strength, rng)

    def protocols(self) -> dict[str, Task]:
        """A `wear` with a range follows the strength."""
        found: dict[str, Task] = {}
        for name, task in super().protocols().items():
            assert isinstance(task, Photo)
            wear = task.wear if task.wear.low == task.wear.high else task.strength
            found[name] = task.model_copy(update={"wear": wear, "untouched": 0.0})
        return found

    def metrics(self) -> dict[str, Metric]:
        return {"psnr_rgb": PSNR_RGB, "psnr_y": PSNR_Y, "ssim_y": SSIM_Y}


@dataclass(frozen=True)
class _Round:
    """How far one round may go: about the paper's values at strength 1, nearly nothing at 0."""

    blurred: float  # share of pictures
    sigma: float  # of blur, in pixels
    rings: float  # share of the kernels that are sinc filters
    smaller: float  # share of pictures that shrink, and to what
    least: float
    larger: float  # share of pictures that grow, and to what
    most: float
    noisy: float  # share of pictures
    noise: float  # sigma in 8-bit levels
    shots: float  # scale of Poisson noise
    quality: int  # of JPEG, at least; 100 for none


def rounds(strength: float, scale: int) -> tuple[_Round, _Round]:
    """The first round's sizes are relative to the target, the second's to the result.

    At scale 1 nothing shrinks below half, where the paper goes to 0.15: there the details of a
    picture of the same size would be invented, not restored. Even the mildest resizing and sinc
    filter cost sharpness, so both get rarer with the strength. Every step is left out now and then:
    there are sharp pictures with noise, and blurred ones that a phone has freed of it.
    """
    often = min(1.0, 2 * strength)
    return (
        _Round(
            blurred=0.8,
            sigma=0.2 + 2.8 * strength,
            rings=0.1 * strength,
            smaller=0.6 * often,
            least=1 / (1 + scale * strength),
            larger=0.2 * often,
            most=1 + 0.5 * strength,
            noisy=0.75,
            noise=30 * strength,
            shots=3 * strength,
            quality=round(95 - 65 * strength),
        ),
        _Round(
            blurred=0.5,
            sigma=0.2 + 1.3 * strength,
            rings=0.1 * strength,
            smaller=0.4 * often,
            least=1 / (1 + strength),
            larger=0.3 * often,
            most=1 + 0.2 * strength,
            noisy=0.5,
            noise=25 * strength,
            shots=2.5 * strength,
            quality=100,
        ),
    )


def through(
    limits: _Round, picture: Pixels, size: tuple[int, ...], rng: np.random.Generator
) -> Pixels:
    """Blur, resizing (relative to `size`), noise and JPEG, each or not, in any order."""
    for step in rng.permutation(4).tolist():
        if step == 0 and rng.random() < limits.blurred:
            picture = convolve(picture, _kernel(limits, rng))
        elif step == 1:
            picture = _resized(picture, size, limits, rng)
        elif step == 2 and rng.random() < limits.noisy:
            picture = _noisy(picture, limits, rng)
        elif step == 3 and limits.quality < 100:
            picture = _compressed(picture, limits.quality, rng)
    return picture


def _kernel(limits: _Round, rng: np.random.Generator) -> Kernel:
    """One of the paper's kernels, in their shares."""
    size = 2 * int(rng.integers(3, 11)) + 1
    kind, along, across, angle = rng.random(4)
    if kind < limits.rings:
        lowest = math.pi / (3 if size >= 13 else 5)
        return sinc(size, math.pi - (math.pi - lowest) * along)
    sigma = limits.sigma
    first = 0.2 + (sigma - 0.2) * along
    second = 0.2 + (sigma - 0.2) * across if rng.random() < 0.35 else first
    shape = rng.random()
    plateau = shape < 0.15
    power = rng.uniform(1, 2) if plateau else rng.uniform(0.5, 4) if shape < 0.3 else 1.0
    turn = math.pi * angle
    return gaussian(size, (first, second), turn, power=power, plateau=plateau)


def _resized(
    picture: Pixels, size: tuple[int, ...], limits: _Round, rng: np.random.Generator
) -> Pixels:
    choice, amount = rng.random(2)
    factor = 1.0
    if choice < limits.smaller:
        factor = limits.least + (1 - limits.least) * amount
    elif choice < limits.smaller + limits.larger:
        factor = 1 + (limits.most - 1) * amount
    height, width = (max(1, round(side * factor)) for side in size)
    return resized(picture, (height, width), _method(rng))


def _noisy(picture: Pixels, limits: _Round, rng: np.random.Generator) -> Pixels:
    kind, tint, amount = rng.random(3)
    gray = bool(tint < 0.4)
    if kind < 0.5:
        return gaussian_noise(picture, limits.noise * amount, rng, gray=gray)
    return poisson_noise(picture, limits.shots * amount, rng, gray=gray)


def _compressed(
    picture: Pixels, least: int, rng: np.random.Generator, origin: tuple[int, int] = (0, 0)
) -> Pixels:
    quality = int(rng.integers(least, 96))
    return jpeg(picture, quality, "4:2:0" if rng.random() < 0.8 else "4:4:4", origin)


def _printed(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """On a press, with dots, or on paper or film, whose grain shows."""
    if rng.random() < 0.3:
        return halftone(picture, rng.uniform(2.5, 6), strength * rng.random(), rng.uniform(0, 2))
    return coarse_noise(picture, 25 * strength * rng.random(), rng.uniform(1, 4), rng, gray=True)


def _processed(picture: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """What a camera or a scanner does to a picture before it stores it, and then a messenger."""
    grainy, blotched, sharpened, sent = rng.random(4)
    if grainy < 0.5:
        grain = 20 * strength * rng.random()
        picture = coarse_noise(picture, grain, rng.uniform(1, 2.5), rng, gray=True)
    if blotched < 0.5:
        blotches = 30 * strength * rng.random()
        picture = coarse_noise(picture, blotches, rng.uniform(1.5, 6), rng, gray=False)
    if sharpened < 0.5:
        kernel = unsharp(rng.uniform(0.5, 2), 2 * strength * rng.random())
        picture = convolve(picture, kernel)
    if sent < 0.6:
        y, x = rng.integers(JPEG_UNIT, size=2).tolist()
        picture = _compressed(picture, round(95 - 65 * strength), rng, (y, x))
    return picture


def _aged(picture: Pixels, wear: float, rng: np.random.Generator) -> Pixels:
    """What happens to a print, roughly in the order in which it happens."""
    faded, stained, scratched, dusty = rng.random(4)
    if faded < 0.8:
        picture = fade(picture, wear, rng)
    if stained < 0.4:
        picture = stains(picture, wear, rng)
    if scratched < 0.6:
        picture = scratches(picture, wear * rng.random() ** 2, rng)  # mostly few, sometimes a net
    if dusty < 0.7:
        picture = dust(picture, wear * rng.random(), rng)
    return picture


def delivered(
    picture: Pixels, size: tuple[int, int], strength: float, rng: np.random.Generator
) -> Pixels:
    """Brought to its size, perhaps with ringing edges, and stored once more, in either order."""
    method, kernel = _method(rng), None
    if rng.random() < 0.8 * strength:
        cutoff = math.pi * (1 - 2 / 3 * strength * rng.random())
        kernel = sinc(2 * int(rng.integers(3, 11)) + 1, cutoff)

    def sized(picture: Pixels) -> Pixels:
        picture = resized(picture, size, method)
        return picture if kernel is None else convolve(picture, kernel)

    least = round(95 - 65 * strength)
    if rng.random() < 0.5:
        return _compressed(sized(picture), least, rng)
    return sized(_compressed(picture, least, rng))


def _method(rng: np.random.Generator) -> Method:
    return METHODS[int(rng.integers(len(METHODS)))]
