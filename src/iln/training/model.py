"""From a recipe to a network, and from a trained network to a weights file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iln import backbones, checkpoint
from iln.backbones import Backbone
from iln.errors import InputError
from iln.training.recipe import LOCAL, Recipe

_HEAD = ("upsample.", "conv_before_upsample.", "conv_up", "conv_hr.", "conv_last.")


def build_model(recipe: Recipe) -> backbones.Backbone:
    """The recipe's network, its parameters taken from `init` where there is one."""
    spec = {name: tuple(v) if isinstance(v, list) else v for name, v in recipe.spec.items()}
    spec = {"scale": recipe.scale, "in_chans": recipe.make_task().channels, **spec}
    model = backbones.build(recipe.backbone, norm=recipe.norm, **spec)
    if model.spec.scale != recipe.scale:
        raise InputError(f"spec.scale is {model.spec.scale}, the recipe's scale {recipe.scale}")
    if recipe.init is not None:
        _start_from(model, recipe.init)
    return model


def bfloat16_pays(recipe: Recipe, device: torch.device) -> bool:
    """Whether a step is faster under bfloat16 autocast here, found by trying both.

    Processors without matrix units for bfloat16 are often slower with it.
    """
    with torch.random.fork_rng(enabled=device.type == "cpu"):
        model = build_model(recipe.model_copy(update={"init": None})).to(device)
        patch, size = recipe.stage(0)
        image = torch.rand(size // recipe.accumulate, model.spec.in_chans, patch, patch)
        image = image.to(device)
        taken = {}
        for amp in (True, False):
            for _ in range(3):  # the last one counts: the first ones warm up
                started = time.perf_counter()
                with torch.autocast(device.type, torch.bfloat16, enabled=amp):
                    loss = model(image).float().mean()
                loss.backward()
                loss.item()  # waits for a GPU
                taken[amp] = time.perf_counter() - started
    return taken[True] < taken[False]


def _start_from(model: nn.Module, file: Path) -> None:
    """Copy a file's parameters; only what enlarges may differ, so that x4 can start from x2."""
    found = dict(checkpoint.load(file).named_parameters())
    for name, parameter in model.named_parameters():
        if name in found and found[name].shape == parameter.shape:
            parameter.data.copy_(found[name].data)
        elif not name.startswith(_HEAD):
            raise InputError(f"{file} does not fit the recipe's network: {name} is not the same")


def save_weights(
    model: Backbone,
    file: Path,
    recipe: Recipe,
    step: int,
    scores: dict[str, dict[str, float]],
) -> None:
    """Write weights with the recipe they come from, without the places of this computer.

    Of the weights that the run started from, what they say of their own training.
    """
    local = {*LOCAL, "init"}
    training: dict[str, Any] = recipe.model_dump(mode="json", exclude=local)
    training["step"] = step
    if recipe.init is not None:
        training["init"] = _training_of(recipe.init)
    checkpoint.save(model, file, overwrite=True, task=recipe.task, training=training, scores=scores)


def _training_of(file: Path) -> dict[str, Any]:
    """Empty for files of others, which say nothing."""
    try:
        return checkpoint.describe(file)["training"] or {}
    except InputError:
        return {}
