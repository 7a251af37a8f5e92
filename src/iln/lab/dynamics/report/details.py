"""The collapsible details of the report: all numbers with their definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iln.images.synthetic import SamplePicture
from iln.lab.dynamics.report.blocks_and_layers import blocks, layers
from iln.lab.dynamics.report.features import channels, last_norm, position_bias
from iln.lab.dynamics.report.markup import Markup, element, macro
from iln.lab.dynamics.report.subject import Subject
from iln.lab.dynamics.report.tables import Row, each, table

DEFINITIONS = (
    ("mean square", "E[x²] over all pixels and channels of a block's output x"),
    ("max |x|", "the largest magnitude of a block's output; float16 ends at 65504"),
    ("entropy", "-Σ p ln p of the channels' shares p of the energy, divided by ln C"),
    ("strongest", "the channel with the largest share of the energy Σ x², and that share"),
    ("kurtosis", "E[(x - E[x])⁴] / Var[x]²: 3 for a Gaussian, large where few values are huge"),
    ("token sigma", "standard deviation over channels of each pixel, mean over pixels"),
    ("sigma1, sigma2", "what the block's two norms divide by, where that is one number a picture"),
    ("PSNR", "10 log10(1 / E[(y - y32)²]), both clipped to [0, 1]; what is not finite is black"),
    (
        "int8, int4",
        "SQNR = 10 log10(Σ y² / Σ (y - y')²) of a layer's output y. y' has weights in 8 (4) bits, "
        "symmetric with a step for each output channel, and inputs in 8 (4) bits, asymmetric over "
        "their range on these pictures. The input is the float network's: a layer's own noise only",
    ),
    (
        "roughness",
        "mean difference of neighbours in a table of position bias, over its standard deviation: "
        "1 for independent noise, near 0 for a smooth table",
    ),
)


def details(
    subjects: Sequence[Subject], sample_pictures: Sequence[SamplePicture]
) -> list[tuple[str, str, Markup]]:
    """What can be unfolded: title, hint, content."""
    return [
        ("Every block", "magnitude, channels, kurtosis, sigma", blocks(subjects)),
        ("Every layer in int8 and int4", "by kind, then one by one", layers(subjects)),
        ("Dominant channels", "first, middle and last block", channels(subjects)),
        ("Position bias", "what heads add over key - query", position_bias(subjects)),
        ("The last norm", "does its bias answer the channels?", last_norm(subjects)),
        ("The checkpoint", "what the file says, what was assumed", _files(subjects)),
        ("The pictures", "what the numbers were measured on", _pictures(sample_pictures)),
        ("Definitions", "what each number is", _definitions()),
    ]


def _files(subjects: Sequence[Subject]) -> Markup:
    return each(subjects, _file)


def _file(subject: Subject) -> Markup:
    about = subject.about
    said = {
        key: about.get(key)
        for key in ("task", "training", "scores", "licence", "dtype", "bytes")
        if about.get(key) is not None
    }
    facts: dict[str, Any] = {
        "backbone": subject.backbone,
        "parameters": subject.parameters,
        **said,
        **vars(subject.spec),
    }
    note = ""
    if not about:
        filled = ", ".join(f"{key} {_said(value)}" for key, value in subject.assumed.items())
        note = (
            "The file does not describe itself. Its kind was recognised by names and shapes; "
            f"filled in by convention: {filled or 'nothing, all was given'}."
        )
    return element("div", {}, element("p", {}, note) if note else Markup(), _facts(facts))


def _pictures(sample_pictures: Sequence[SamplePicture]) -> Markup:
    rows = []
    for sample_picture in sample_pictures:
        height, width, channels = sample_picture.pixels.shape
        used = f"the middle {width} x {height}" if sample_picture.cropped else "all of it"
        kind = "drawn by iln" if sample_picture.synthetic else "gray" if channels == 1 else "RGB"
        rows.append(
            Row(
                sample_picture.name,
                [f"{sample_picture.width} x {sample_picture.height}", used, kind],
            )
        )
    head = ("picture", "pixels", "used", "kind")
    return table("pictures used", head, rows)


def _definitions() -> Markup:
    return _facts(dict(DEFINITIONS))


def _facts(facts: dict[str, Any]) -> Markup:
    return macro("table.html", "facts", [(name, _said(value)) for name, value in facts.items()])


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_said(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        apart = " / " if any(isinstance(entry, dict) for entry in value) else ", "
        return apart.join(_said(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value == "" else str(value)
