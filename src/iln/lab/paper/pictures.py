"""Test pictures for items that look into finished networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from iln.lab.paper.store import Store
from iln.lab.tasks.folders import load_pair, sources
from iln.lab.training import Recipe
from iln.lab.training.validation import to_unit


def picture_of(recipe: Recipe, store: Store, number: int = 0) -> tuple[Tensor, Tensor]:
    """Input and target (1, C, H, W) in [0, 1]: a picture of the recipe's first test set."""
    found = sources(store.data_root / recipe.validation[0])
    damaged, target = load_pair(found[number % len(found)], recipe.make_task())
    return _as_tensor(damaged), _as_tensor(target)


def _as_tensor(pixels: np.ndarray) -> Tensor:
    return to_unit(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None])
