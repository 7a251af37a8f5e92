"""The recipes that come with the package: functions, so that one can derive from another."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iln.assignment import parse_assignment
from iln.atomic import printable
from iln.backbones import PRESETS, Spec
from iln.checkpoints import native
from iln.checkpoints.native import said_by
from iln.checkpoints.published import Answers
from iln.errors import InputError, first_complaint, nearest
from iln.lab.evaluation.choice import trained_for
from iln.lab.tasks import TASKS
from iln.lab.tasks import task as task_by_name
from iln.lab.training.model import UNSAID
from iln.lab.training.recipe import Recipe

OPEN = (Path("OpenPhotos"),)
"""410 tiles of 98 photographs under open licences: what is trained on them may be used freely."""
RESEARCH = (*OPEN, Path("BSDS500/train"), Path("BSDS500/test"))
"""810 pictures, BSDS500 for research only; its `val` is left out because BSD100 and CBSD68 are cut
from it."""
DIV2K = (Path("DIV2K_train_HR"),)
DF2K = (*DIV2K, Path("Flickr2K_HR"))
_FOLDERS = ("data", "validation")


def sr_x2() -> Recipe:
    """SwinIR-light with i-LN, twofold, for an afternoon on a small computer."""
    return Recipe(
        backbone="swinir-light-x2",
        spec={"input_stats": "mean+std"},  # whatever the norm, so that norms can be compared
        scale=2,
        data=OPEN,
        validation=(Path("Set5"),),
        steps=20_000,
        lr=1e-3,
    )


def sr_x3() -> Recipe:
    """As sr-x2, threefold; start it from the twofold weights with init=."""
    return derive(sr_x2(), {"backbone": "swinir-light-x3", "scale": 3, "data": RESEARCH})


def sr_x4() -> Recipe:
    """As sr-x2, fourfold; start it from the twofold weights with init=."""
    return derive(sr_x2(), {"backbone": "swinir-light-x4", "scale": 4, "data": RESEARCH})


def sharp_x2() -> Recipe:
    """Answers of a teacher that invents detail (zoo/teacher.py); start it with init=sr-x2."""
    data = {"data": (Path("Taught"),), "validation": (Path("TaughtHeld"),)}
    return derive(sr_x2(), {**data, "patch": 48, "batch": 8, "ema": 0.998})


def sharp() -> Recipe:
    """The same teacher's answers at the picture's own size; start it with init=sharp."""
    data = {"data": (Path("Taught-x1"),), "validation": (Path("TaughtHeld-x1"),)}
    return _same_size({**data, "task": "photo", "ema": 0.995})


def denoise() -> Recipe:
    """Colour noise of any strength up to sigma 55; the same network on cells of 2x2 pixels."""
    changes = {"task": "denoise", "degradation": {"sigma": [0, 55]}, "data": RESEARCH}
    return _same_size({**changes, "validation": ("CBSD68",)})


def jpeg() -> Recipe:
    """JPEG colour pictures of any quality from 5 to 95."""
    changes = {"task": "jpeg", "degradation": {"quality": [5, 95]}, "data": RESEARCH}
    return _same_size({**changes, "validation": ("Set14",)})


def derain() -> Recipe:
    """Rain drawn onto clean pictures, tested on the pairs of Rain100L."""
    # Their clean sides are cut from BSDS500 `train` and `val`.
    data = (*OPEN, Path("BSDS500/test"))
    return _same_size({"task": "derain", "data": data, "validation": ("Rain100L",)})


def deblur() -> Recipe:
    """Blur of shaking hands and of wrong focus; start it with init=deblur."""
    return _same_size({"task": "deblur", "validation": ("Set14",)})


def photo() -> Recipe:
    """Old and phone photographs: blur, noise, JPEG, fading, scratches and stains at once."""
    # Twice as many as in the tests: scratches cover so few pixels that they are learned last.
    damage = {"prints": 0.6, "processed": 0.5}
    base = _same_size({"task": "photo", "degradation": damage, "validation": ("Set14",)})
    return derive(base, {"spec": {**base.spec, "depths": [2, 2, 2, 6]}})  # as after pruning


def photo_x2() -> Recipe:
    """As photo, and twice as large; start it with init=photo."""
    damage = {"prints": 0.5, "processed": 0.5, "untouched": 0.25}
    return derive(photo(), {"scale": 2, "degradation": damage, "batch": 16, "ema": 0.995})


def scratches() -> Recipe:
    """Scratches, cracks and dust on old prints, and nothing else; start it with init=scratches."""
    # Under absolute differences a mark stays until it is more likely one than not: slow to learn
    # (loss=mse finds marks sooner), but what belongs to the picture is left alone.
    damage = {"wear": [0.3, 1], "cracks": 0.4}
    return _same_size({"task": "scratches", "degradation": damage, "validation": ("Set14",)})


def swinir_light_x2() -> Recipe:
    """SwinIR-light as published: LayerNorm, DIV2K, 500,000 steps of 64 crops."""
    return Recipe(
        backbone="swinir-light-x2",
        norm="ln",
        spec={"input_stats": "mean"},
        scale=2,
        data=DIV2K,
        validation=(Path("Set5"),),
        patch=64,
        batch=64,
        steps=500_000,
        lr=2e-4,
        schedule="multistep",
        milestones=(250_000, 400_000, 450_000, 475_000),
        warmup=0,
        precision="fp32",
        save_every=5_000,
        validate_every=5_000,
    )


def swinir_light_x4() -> Recipe:
    """SwinIR-light x4 as published: from the twofold weights (init=), half the rate and steps."""
    changes = {"backbone": "swinir-light-x4", "scale": 4, "lr": 1e-4}
    return derive(_half_as_long(swinir_light_x2()), changes)


def hat1_x2() -> Recipe:
    """The paper's HAT1 with i-LN, twofold: DF2K, 300,000 steps of 16 crops."""
    return Recipe(
        backbone="hat-mini-x2",
        spec={"input_stats": "mean+std", "drop_path": 0.1},
        scale=2,
        data=DF2K,
        validation=(Path("Set5"), Path("Set14")),
        patch=32,
        batch=16,
        steps=300_000,
        lr=2e-4,
        schedule="multistep",
        milestones=(250_000,),
        warmup=0,
        precision="fp32",
        save_every=5_000,
        validate_every=5_000,
    )


def hat1_x2_ln() -> Recipe:
    """The paper's baseline of hat1-x2: LayerNorm, and input less its mean only."""
    return _layer_norm(hat1_x2())


def hat1_x4() -> Recipe:
    """The paper's HAT1 with i-LN, fourfold."""
    return derive(hat1_x2(), {"backbone": "hat-mini-x4", "scale": 4})


def hat1_x4_ln() -> Recipe:
    """The paper's baseline of hat1-x4: LayerNorm, and input less its mean only."""
    return _layer_norm(hat1_x4())


def hat_x2() -> Recipe:
    """The full HAT with i-LN, twofold, as the paper trains it on two GPUs."""
    changes = {
        "backbone": "hat-x2",
        "patch": 64,
        "batch": 8,
        "steps": 500_000,
        "milestones": [250_000, 400_000, 450_000, 475_000],
    }
    return derive(hat1_x2(), changes)


def hat_x4() -> Recipe:
    """The full HAT with i-LN, fourfold, as the paper trains it on eight GPUs (init= hat-x2)."""
    changes = {
        "backbone": "hat-x4",
        "scale": 4,
        "batch": 32,
        "lr": 1e-4,
        "milestones": [125_000, 200_000, 225_000, 240_000],
    }
    return derive(_half_as_long(hat_x2()), changes)


def _same_size(changes: dict[str, Any]) -> Recipe:
    """Cells of 2x2 pixels: a quarter of the time and memory, and twice as far to see."""
    spec = {"input_stats": "mean+std", "upsampler": "", "unshuffle": 2}
    return derive(sr_x2(), {"scale": 1, "spec": spec, "patch": 64, **changes})


def _layer_norm(base: Recipe) -> Recipe:
    return derive(base, {"norm": "ln", "spec": {**base.spec, "input_stats": "mean"}})


def _half_as_long(base: Recipe) -> Recipe:
    milestones = [step // 2 for step in base.milestones]
    return derive(base, {"steps": base.steps // 2, "milestones": milestones})


def adopt(items: Iterable[str]) -> Recipe:
    """A LayerNorm network, init=FILE, made an i-LN network for the same task.

    Args:
        items: as `override` takes them, among them `init`. Where the file, of others, does not say
            them: `task`, and what differs from its authors' convention, such as `spec.img_range`.

    Raises:
        InputError: for a file that is no LayerNorm network, and for values that it contradicts.
    """
    given = dict(parse_assignment(item) for item in items)
    init = given.get("init")
    if not isinstance(init, str):
        raise InputError("adopt starts from a LayerNorm network; name it: init=FILE")
    said = said_by(init)
    if said and said["spec"]["norm"] != "ln":
        norm = said["spec"]["norm"]
        raise InputError(f"{printable(init)} has norm {norm}; adopt takes norm ln alone")
    answers = {name: given.get(f"spec.{name}") for name in UNSAID}
    try:
        spec = native.load_explained(init, Answers(norm="ln", **answers))[0].spec
    except InputError as error:
        raise InputError(f"adopt takes a LayerNorm network; {error}") from None
    trained, degradation = trained_for(said) or (None, {})
    task = given.get("task", trained)
    if task is None:
        raise InputError(
            f"{printable(init)} does not say what it restores; add task= and one of "
            f"{', '.join(TASKS)}, and its parameters, if any, such as degradation.sigma=25"
        )
    task_by_name(str(task), {"scale": spec.scale})
    known = {name: make() for name, make in RECIPES.items()}
    base = known.get(task) or next(one for one in known.values() if one.task == task)
    preset, differing = _nearest_preset(spec)
    gray = {"gray": True} if spec.in_chans == 1 and "gray" in TASKS[task].model_fields else {}
    said_too = degradation if task == trained else {}
    changes = {
        "backbone": preset,
        "spec": differing,
        "scale": spec.scale,
        "task": task,
        "degradation": {**base.degradation, **said_too, **gray},
        "init": init,
        "adopt": True,
        "steps": 2_000,
        "lr": 5e-4,
    }
    made = override(derive(base, changes), items)
    if made.scale != spec.scale or made.backbone != preset:
        raise InputError(
            f"adopt takes backbone and scale from {printable(init)} ({preset}, {spec.scale}); "
            "leave them out"
        )
    return made


def _nearest_preset(spec: Spec) -> tuple[str, dict[str, Any]]:
    """The published network that differs least, and by what; its norm is not looked at."""
    values = {k: v for k, v in asdict(spec).items() if k not in ("norm", "eps")}
    found = {}
    for name, preset in PRESETS.items():
        if type(preset) is type(spec):
            found[name] = {k: v for k, v in values.items() if v != getattr(preset, k)}
    name = min(found, key=lambda name: len(found[name]))
    kept = {k: values[k] for k in UNSAID if k in values}  # other norms have others by default
    differing = {**found[name], **kept}
    for decided in ("scale", "in_chans"):  # by the task
        differing.pop(decided, None)
    return name, json.loads(json.dumps(differing))  # lists, as a recipe has them


RECIPES: dict[str, Callable[[], Recipe]] = {
    "sr-x2": sr_x2,
    "sr-x3": sr_x3,
    "sr-x4": sr_x4,
    "sharp-x2": sharp_x2,
    "sharp": sharp,
    "denoise": denoise,
    "jpeg": jpeg,
    "derain": derain,
    "deblur": deblur,
    "photo": photo,
    "photo-x2": photo_x2,
    "scratches": scratches,
    "swinir-light-x2": swinir_light_x2,
    "swinir-light-x4": swinir_light_x4,
    "hat1-x2": hat1_x2,
    "hat1-x2-ln": hat1_x2_ln,
    "hat1-x4": hat1_x4,
    "hat1-x4-ln": hat1_x4_ln,
    "hat-x2": hat_x2,
    "hat-x4": hat_x4,
}
FROM_FILE: dict[str, Callable[[Iterable[str]], Recipe]] = {"adopt": adopt}
"""Recipes whose network and task are those of the file `init`."""


def recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe by its name, with `key=value` replacements as `override` takes them.

    Raises:
        InputError: for an unknown recipe or key, naming the nearest, or for a bad value.
    """
    if name in FROM_FILE:
        return FROM_FILE[name](list(overrides))
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}; {nearest(name, [*RECIPES, *FROM_FILE])}")
    return override(RECIPES[name](), overrides)


def override(base: Recipe, items: Iterable[str]) -> Recipe:
    """A copy of a recipe with `key=value` replacements.

    A relative folder in `data` or `validation` that is there, from where one stands, is that one;
    others are looked for in `data_root`. A file in `init` is kept by its absolute name. Another
    `task` begins with its own parameters.

    Args:
        items: `key=value` each. Values are JSON where that parses (`steps=100`,
            `betas=[0.9,0.95]`), else plain text; a list of one may be written as its item, and
            `spec.embed_dim=48` or `degradation.sigma=25` reaches inside a table.

    Raises:
        InputError: for an unknown key, naming the nearest, or for a bad value.
    """
    given = [parse_assignment(item) for item in items]
    changes: dict[str, Any] = {}
    if dict(given).get("task", base.task) != base.task:
        changes["degradation"] = {}  # was the other task's
    for key, value in given:
        table, dot, inner = key.partition(".")
        if dot and table in ("spec", "degradation", "dynamics"):
            before = changes.get(table, base.model_dump()[table])
            if not isinstance(before, dict):
                raise InputError(f"recipe {table}={before!r}: is a table; say {table}.KEY=VALUE")
            changes[table] = {**before, inner: value}
        else:
            changes[key] = value
    made = derive(base, changes)
    here: dict[str, Any] = {
        key: tuple(name.absolute() if name.is_dir() else name for name in getattr(made, key))
        for key in changes.keys() & {"data", "validation"}
    }
    init = made.init if "init" in changes else None
    if init is not None and init not in native.shipped() and Path(init).is_file():
        here["init"] = str(Path(init).absolute())
    return made.model_copy(update=here)


def derive(base: Recipe, changes: dict[str, Any]) -> Recipe:
    """A copy of a recipe with some values replaced and all of it validated again."""
    fields = Recipe.model_fields
    for key, value in changes.items():
        if key not in fields:
            raise InputError(f"a recipe has no {key!r}; {nearest(key.partition('.')[0], fields)}")
        if key in _FOLDERS:
            names = value if isinstance(value, (list, tuple)) else [value]
            changes = {**changes, key: tuple(n if isinstance(n, Path) else str(n) for n in names)}
            if "" in changes[key]:
                none = ", or none by validation=[]" if key == "validation" else ""
                raise InputError(f"recipe {key}=: name a folder{none}")
            if key == "data" and not changes[key]:
                raise InputError("recipe data=[]: name a folder of pictures to learn from")
    try:
        return Recipe.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        if isinstance(cause := error.errors()[0].get("ctx", {}).get("error"), InputError):
            raise cause from None
        raise InputError(f"recipe: {first_complaint(error)}") from None
