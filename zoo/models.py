"""The shipped models: what each does, how it is scored, and what it has to reach.

docs/zoo.md says the same in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from iln.errors import InputError, nearest

OPEN_DATA = ("OpenPhotos", "ByPhoto")
"""Folders of photographs whose licences allow any use, and of what models that were trained on
nothing else made of them (`zoo/distil.py`); all others are taken for research sets."""
TAUGHT = ("Taught", "Taught-x1", "pairs")
"""Folders that `zoo/teacher.py` made of such photographs."""


@dataclass(frozen=True)
class Test:
    """Sets of pictures, damaged by each of the task's protocols, and the two scores shown.

    Attributes:
        parameters: of the task, in place of its own.
        seeds: how many, from 0 on; scores are means.
        called: the name of the only protocol, in place of the task's.
        worst: the picture with the lowest score gets a row of its own.
        quick: whether a quick check does it, too (docs/zoo.md).
    """

    sets: tuple[str, ...]
    metrics: tuple[str, str]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 1
    called: str | None = None
    worst: bool = False
    quick: bool = True


@dataclass(frozen=True)
class Model:
    """A shipped model.

    Attributes:
        goals: by row, what its first score has to reach.
        main: the row that stands for all of them in lists.
    """

    name: str
    task: str
    does: str
    tests: tuple[Test, ...]
    main: str
    goals: Mapping[str, float]


Y = ("psnr_y", "ssim_y")
RGB = ("psnr_rgb", "ssim_y")

MODELS = {
    model.name: model
    for model in (
        Model(
            "sr-x2",
            "sr",
            "enlarges clean pictures twofold",
            (Test(("Set5", "Set14", "BSD100"), Y),),
            "Set5",
            {"Set5": 38.14, "Set14": 33.86, "BSD100": 32.31},
        ),
        Model(
            "sr-x4",
            "sr",
            "enlarges clean pictures fourfold",
            (Test(("Set5", "Set14", "BSD100"), Y),),
            "Set5",
            {"Set5": 32.44, "Set14": 28.77, "BSD100": 27.69},
        ),
        Model(
            "denoise",
            "denoise",
            "takes away noise of any strength up to sigma 55",
            (Test(("CBSD68", "McMaster"), RGB),),
            "CBSD68 sigma 25",
            {"CBSD68 sigma 25": 31.5},
        ),
        Model(
            "jpeg",
            "jpeg",
            "takes away what JPEG leaves, of any quality from 5 to 95",
            (Test(("Classic5",), Y, {"gray": True}), Test(("Set14",), Y)),
            "Classic5 q 10",
            {"Classic5 q 10": 29.9},
        ),
        Model(
            "derain",
            "derain",
            "takes away streaks of rain",
            (Test(("Rain100L",), ("psnr_y_rounded", "ssim_y_rounded"), called=""),),
            "Rain100L",
            {"Rain100L": 36.20},
        ),
        Model(
            "photo",
            "photo",
            "restores old photographs and phone pictures",
            (
                Test(("Set14", "McMaster"), RGB, {"prints": 0.3}, seeds=5),
                Test(
                    ("Set14", "McMaster"),
                    RGB,
                    {"strength": 0.5, "processed": 1, "prints": 0.3},
                    seeds=5,
                    called="processed",
                    quick=False,
                ),
                Test(("Set14", "McMaster"), RGB, {"strength": 0}, called="undamaged", worst=True),
            ),
            "Set14 medium",
            {"Set14 undamaged": 38.0, "McMaster undamaged": 38.0},
        ),
        Model(
            "photo-x2",
            "photo",
            "cleans old photographs and phone pictures, and enlarges them twofold",
            (
                Test(("Set14", "McMaster"), RGB, {"scale": 2, "prints": 0.3}, seeds=5),
                Test(("Set14", "McMaster"), RGB, {"scale": 2, "strength": 0}, called="undamaged"),
            ),
            "Set14 medium",
            {"Set14 medium": 24.27, "McMaster medium": 25.89, "Set14 undamaged": 30.50},
        ),
        Model(
            "sharp",
            "photo",
            "cleans and sharpens, as Real-ESRGAN would",
            (Test(("TaughtHeld-x1",), RGB, called=""),),
            "TaughtHeld-x1",
            {"TaughtHeld-x1": 36.0},
        ),
        Model(
            "sharp-x2",
            "sr",
            "cleans, sharpens and enlarges twofold, as Real-ESRGAN would",
            (Test(("TaughtHeld",), Y, called=""),),
            "TaughtHeld",
            {"TaughtHeld": 36.0},
        ),
        Model(
            "deblur",
            "deblur",
            "sharpens pictures that are out of focus, and shaken ones a little",
            (
                Test(("Set14",), RGB),
                Test(("Set14",), RGB, {"untouched": 1}, called="undamaged", worst=True),
            ),
            "Set14 defocus medium",
            {"Set14 motion medium": 23.8, "Set14 defocus medium": 27.9, "Set14 undamaged": 38.0},
        ),
        Model(
            "scratches",
            "scratches",
            "takes away scratches, cracks and dust on old prints",
            (
                Test(("Set14", "McMaster"), RGB),
                Test(("Set14", "McMaster"), RGB, {"wear": 0}, called="undamaged", worst=True),
            ),
            "Set14 medium",
            {
                "Set14 light": 36.68,
                "Set14 medium": 35.5,
                "Set14 heavy": 33.5,
                "Set14 undamaged": 45.0,
                "Set14 undamaged, the worst": 35.0,
            },
        ),
    )
}


def model(name: str) -> Model:
    """A shipped model by its name. Raises InputError, naming the nearest, for another."""
    if name not in MODELS:
        raise InputError(f"no model {name!r} is to be shipped; {nearest(name, MODELS)}")
    return MODELS[name]


def licence(training: Any) -> str:
    """Whether weights may be used commercially, in words, by the data they were trained on.

    Args:
        training: as a weights file says it; the data of the weights that a run started from are
            under `init` and count as well.

    Raises:
        InputError: where it does not name its data.
    """
    folders = {_folder(name) for name in _data(training)}
    closed = sorted(folders - {*OPEN_DATA, *TAUGHT})
    if closed:
        return f"research only (no commercial use; trained partly on {' and '.join(closed)})"
    if folders & {*TAUGHT}:
        return "taught (openly licensed photographs; answers of Real-ESRGAN x4plus, BSD-3-Clause)"
    return "open (commercial use too; trained only on openly licensed photographs)"


def _data(training: Any) -> list[str]:
    found = training.get("data") if isinstance(training, dict) else None
    if not found:
        raise InputError("does not say what it was trained on (training: data)")
    return [*found, *(_data(training["init"]) if "init" in training else [])]


def _folder(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute():
        raise InputError(f"was trained on {name}; name folders relative to data_root")
    return path.parts[0]
