"""From a recipe to a network, and from a trained network to a weights file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iln import backbones
from iln.atomic import printable
from iln.backbones import Backbone, convert
from iln.checkpoints import native
from iln.checkpoints.native import said_by
from iln.checkpoints.published import Answers
from iln.cpu import instructions
from iln.errors import InputError
from iln.lab.training.recipe import LOCAL, Recipe
from iln.layers.pixel_unshuffle import pixel_repeat

UNSAID = ("input_stats", "img_range", "conv_scale")
"""What of a network's spec the files of others do not say, by the names that `load` takes."""
_HEAD = ("upsample.", "conv_before_upsample.", "conv_up", "conv_hr.", "conv_last.")


def build_model(recipe: Recipe, init: Backbone | None = None) -> Backbone:
    """The recipe's network, with the parameters of another one where that is given."""
    spec = {name: tuple(v) if isinstance(v, list) else v for name, v in recipe.spec.items()}
    channels = recipe.make_task().channels
    spec = {"scale": recipe.scale, "in_chans": channels, **spec}
    model = backbones.build(recipe.backbone, norm=recipe.norm, **spec)
    if model.spec.scale != recipe.scale:
        raise InputError(f"spec.scale is {model.spec.scale}, the recipe's scale {recipe.scale}")
    if model.spec.in_chans != channels:
        raise InputError(
            f"spec.in_chans is {model.spec.in_chans}, but the pictures of task {recipe.task} have "
            f"{channels} here"
        )
    if init is not None:
        _start_from(model, convert(init, recipe.norm) if recipe.adopt else init, recipe)
    return model


def load_init(recipe: Recipe) -> Backbone | None:
    """The network that the run starts from, as its file has it."""
    if recipe.init is None:
        return None
    if not recipe.adopt and said_by(recipe.init):
        return native.load(recipe.init)
    # What the files of others do not say, the run's own network has in common with it.
    said = {name: recipe.spec.get(name) for name in UNSAID}
    norm = "ln" if recipe.adopt or recipe.norm == "ln" else None
    return native.load_explained(recipe.init, Answers(norm=norm, **said))[0]


def automatic_precision(device: torch.device) -> str:
    """What `precision=auto` means on a device: always the same there, and known at once.

    bf16 makes steps of SwinIR and HAT 1.5 to 2 times as fast where there are instructions for it,
    and tens of times slower where there are none (docs/results/training-speed.md).
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and instructions().bf16 else "fp32"


def init_training(recipe: Recipe) -> dict[str, Any] | None:
    """What the weights that a run starts from say of their own training; None without any."""
    if recipe.init is None:
        return None
    said = said_by(recipe.init).get("training") or {}
    return said if isinstance(said, dict) else {"said": said}


def _start_from(model: Backbone, init: Backbone, recipe: Recipe) -> None:
    """Copy its parameters; only what enlarges may differ, so that x4 can start from x2.

    Where both predict a correction of their input, that of a smaller scale is repeated, as the
    input's pixels are.
    """
    found = dict(init.named_parameters())
    times, left = divmod(model.spec.scale, init.spec.scale)
    if times > 1 and not left and init.spec.upsampler == model.spec.upsampler == "":
        side = init.spec.scale * init.spec.unshuffle
        for name in ("conv_last.weight", "conv_last.bias"):
            pixels = found[name].movedim(0, -1).reshape(1, 1, -1, len(found[name]))
            repeated = pixel_repeat(pixels, side, times)[0, 0]
            found[name] = nn.Parameter(repeated.reshape(*found[name].shape[1:], -1).movedim(-1, 0))
    own = dict(model.named_parameters())
    fits = {name for name in own if name in found and found[name].shape == own[name].shape}
    other = [n for n in (*own, *found) if n not in fits and not n.startswith(_HEAD)]
    if other:
        hint = _differing(init, model)
        raise InputError(
            f"{printable(recipe.init or '')} does not fit the recipe's network: "
            f"{other[0]} is not the same{hint}"
        )
    for name in (*UNSAID, "eps"):
        theirs, ours = (getattr(network.spec, name, None) for network in (init, model))
        if theirs != ours:
            raise InputError(
                f"{printable(recipe.init or '')} has {name} {theirs} and the recipe's network "
                f"{ours}: say spec.{name}={theirs}"
            )
    for name in fits:
        own[name].data.copy_(found[name].data)


def _differing(init: Backbone, model: Backbone) -> str:
    """What of its network the recipe would have to say."""
    if type(init) is not type(model):
        return f"; it is a {init.title}"
    if init.spec.norm != model.spec.norm:
        said = f"; its norm is {init.spec.norm}: say norm={init.spec.norm}"
        return said + (", or iln train adopt" if model.spec.norm == "i-ln" else "")
    theirs, ours = asdict(init.spec), asdict(model.spec)
    free = ("scale", "upsampler", "drop_path", "eps")
    for name in (name for name in theirs if name not in free and theirs[name] != ours.get(name)):
        value = list(theirs[name]) if isinstance(theirs[name], tuple) else theirs[name]
        return f"; it has spec.{name}={value}"
    return ""


def save_weights(
    model: Backbone,
    file: Path,
    recipe: Recipe,
    step: int,
    scores: dict[str, dict[str, float]],
    init: dict[str, Any] | None,
) -> None:
    """Write weights with the recipe they come from, without the places of this computer.

    Args:
        init: of the weights that the run started from, what they say of their own training.
    """
    local = {*LOCAL, "init"}
    training: dict[str, Any] = recipe.model_dump(mode="json", exclude=local)
    for key in ("data", "validation"):
        training[key] = [p.name if p.is_absolute() else str(p) for p in getattr(recipe, key)]
    training["step"] = step
    if init is not None:
        training["init"] = init
    native.save(model, file, overwrite=True, task=recipe.task, training=training, scores=scores)
