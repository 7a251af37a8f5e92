"""Table 4: low precision.

The paper: in fp16 i-LN loses nothing and LN gives black or garbage (7.46 dB on Urban100); int8 and
int4 cost LN more than i-LN.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.backbones.residual_stream import divide_stream
from iln.deploy.quantization import FORMATS, bits_of, calibrate, quantized
from iln.deploy.rescue import rescue
from iln.errors import InputError
from iln.lab.paper.item import Item, Report
from iln.lab.paper.pictures import picture_of, score_of
from iln.lab.paper.scale import TITLES, Scale
from iln.lab.paper.statistics import show

BLOWN = (14, 20)
"""Powers of two by which streams are multiplied, to stand for long training."""
PICTURES = 3
"""So many calibrate the percentiles."""
PUBLISHED = {"LN": "7.4640 / 5.0736", "i-LN": "27.5849 / 32.1693"}
"""PSNR x4 of HAT2 in fp16 on Urban100 and Manga109."""


def report(page: Report) -> None:
    # The second test set, which is neither the smallest nor the largest; else the only one.
    name = page.sets[:2][-1]

    def score(model: Backbone) -> float:
        return score_of(model, page.scale.base, page.store, name)

    models = {norm: [run.model() for run in runs] for norm, runs in page.sound.items()}
    whole = {norm: [score(model) for model in all_] for norm, all_ in models.items()}
    pictures = [picture_of(page.scale.base, page.store, i)[0] for i in range(PICTURES)]
    losses: dict[str, dict[str, list[float]]] = {}
    for norm, all_ in models.items():
        for model, reference in zip(all_, whole[norm], strict=True):
            for label, narrow in narrowed(model, pictures):
                lost = losses.setdefault(label, {arm: [] for arm in models})
                lost[norm].append(reference - score(narrow))
    for label, found in losses.items():
        page.claim(
            f"{label} costs LN more than i-LN",
            page.sound_above(found["ln"], found["i-ln"]),
            f"{show(found['ln'], 3)} and {show(found['i-ln'], 3)} dB lost",
        )
    blown: dict[str, dict[int, list[float]]] = {}
    for norm, all_ in models.items():
        for power in BLOWN:
            large = [_blown(model, power) for model in all_]
            rescued = [_rescued(model, pictures[0]) for model in large]
            for arm, networks in ((TITLES[norm], large), (f"{TITLES[norm]}, rescued", rescued)):
                blown.setdefault(arm, {})[power] = [score(_half(one)) for one in networks]
    page.table(
        "precision",
        f"PSNR in float32, and what is lost in few bits ({name}), in dB; mean and deviation over "
        "seeds",
        ["format", *(TITLES[norm] for norm in models)],
        [
            ["float32, PSNR", *(show(whole[norm], 3) for norm in models)],
            *(
                [f"{label}, lost", *(show(found[norm], 3) for norm in models)]
                for label, found in losses.items()
            ),
        ],
    )
    page.table(
        "constructed",
        "Constructed: streams multiplied by a power of two, which changes nothing in float32; "
        f"PSNR in fp16 ({name})",
        ["arm", *(f"2^{power}" for power in BLOWN), "published fp16: Urban100, Manga109"],
        [
            [arm, *(show(values) for values in found.values()), PUBLISHED.get(arm, "–")]
            for arm, found in blown.items()
        ],
    )
    page.text(
        "W4A8: weights of 4 bits, a step for each output channel; activations of 8 bits, a step a "
        "layer; A16 leaves activations in float. Quantised are the linear layers and convolutions "
        "of the body, not the first convolution, the upsampler, norms, or the products inside "
        "attention. Ranges of activations are those of each input (MinMax), or hold 99.9 % of what "
        f"{PICTURES} other pictures gave. Nothing is trained after quantisation. At this scale no "
        "network has features that fp16 cannot hold, so the second table makes some, for both "
        "norms alike (training does not do that to i-LN); `rescued` is what `iln rescue` makes "
        "of them."
    )


def narrowed(model: Backbone, pictures: list[Tensor]) -> Iterator[tuple[str, Backbone]]:
    """The network in each format, by the name to show."""
    yield "fp16", _half(model)
    ranges = calibrate(model, pictures)
    for name in FORMATS:
        yield name, quantized(model, bits_of(name))
        if bits_of(name).activations is not None:
            yield f"{name} 99.9 %", quantized(model, bits_of(name), ranges)


def _half(model: Backbone) -> Backbone:
    return copy.deepcopy(model).to(torch.float16)


def _blown(model: Backbone, power: int) -> Backbone:
    large = copy.deepcopy(model)
    divide_stream(large, [-power] * len(large.layers))
    return large


def _rescued(model: Backbone, picture: Tensor) -> Backbone:
    try:
        return rescue(model, [picture]).model
    except InputError:  # float16 holds it as it is
        return model


ITEM = Item(("table4",), __doc__, Scale.arms, report)
