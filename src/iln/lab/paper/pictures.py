"""Test pictures for items that look into finished networks, and what networks score on them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from iln.backbones import Backbone
from iln.lab.paper.store import Store
from iln.lab.tasks.folders import load_pair, sources
from iln.lab.training import Recipe
from iln.lab.training.sets import PictureSet
from iln.lab.training.validation import to_unit, validate


def picture_of(recipe: Recipe, store: Store, number: int = 0) -> tuple[Tensor, Tensor]:
    """Input and target (1, C, H, W) in [0, 1]: a picture of the recipe's first test set."""
    found = sources(store.data_root / recipe.validation[0])
    damaged, target = load_pair(found[number % len(found)], recipe.make_task())
    return _as_tensor(damaged), _as_tensor(target)


def score_of(model: Backbone, recipe: Recipe, store: Store, test_set: str) -> float:
    """The task's first metric on one of the recipe's test sets, pictures computed whole."""
    pictures = PictureSet.of(store.data_root / test_set)
    found = validate(model, recipe.make_task(), pictures, lambda name, triple: None)
    return next(iter(next(iter(found.values())).values()))


def _as_tensor(pixels: np.ndarray) -> Tensor:
    return to_unit(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None])
