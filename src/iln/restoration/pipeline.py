"""Several models one after the other, and what is done around them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, Unpack, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Module

from iln.backbones import Backbone
from iln.checkpoints.catalogue import default_model
from iln.checkpoints.chains import CHAINS
from iln.checkpoints.files import about
from iln.checkpoints.native import as_model
from iln.errors import InputError
from iln.images import Picture, unfade
from iln.images.mask import as_mask
from iln.images.sizing import blended, parse_size, resized_with_alpha
from iln.images.transparency import grow_colours
from iln.restoration.inputs import PictureRestorer, Progress, as_input
from iln.restoration.limits import Limits, Planes
from iln.restoration.options import RestoreOptions
from iln.restoration.restorer import Restorer

Model = str | os.PathLike[str] | Backbone
_PIECES = (64, 256)
"""Sides of pieces that are timed: on the smaller one a fast network does not show its speed."""
_PATIENCE = 2.0
"""Seconds that the larger one may take."""


class Pipeline(PictureRestorer):
    """What `iln restore` does to a picture: models in order, then colours, strength and size.

    Args:
        models: one, or several in order, each a shipped model's name, a file, a network, or the
            name of a chain of the catalogue (`old-print`), which stands for its steps.
        unfade: stretch the colours of a faded print afterwards; so does a chain that says so.
        strength: how much of the result is taken, from 0 to 1; the rest is the picture as it was,
            enlarged where the models enlarge.
        size: what the result is brought to, such as `4000x` or `100%` (see
            `iln.images.sizing.parse_size`).
        load: what makes the `Restorer` of a model, given the options; for whoever keeps them.
        options: see `RestoreOptions`; they hold for every model.

    Raises:
        InputError: for a model, a size or a strength that cannot be had.
    """

    def __init__(
        self,
        models: Model | Iterable[Model],
        *,
        unfade: bool = False,
        strength: float = 1.0,
        size: str | None = None,
        load: Callable[..., Restorer] = Restorer,
        **options: Unpack[RestoreOptions],
    ) -> None:
        self.strength = _checked_strength(strength)
        self.size = None if size is None else parse_size(size)
        one = isinstance(models, (str, os.PathLike, Module)) or not hasattr(models, "__iter__")
        given = [models] if one else cast(Iterable[Model], models)
        chosen = [as_model(model) for model in given]
        if not chosen:
            raise InputError("no model; name one at least")
        names = [model for model in chosen if isinstance(model, str)]
        self.unfade = unfade or any(CHAINS[name].unfade for name in names if name in CHAINS)
        self.restorers = [load(step, **options) for model in chosen for step in _steps(model)]
        self.scale = prod(restorer.scale for restorer in self.restorers)
        alone = len(self.restorers) == 1 and not self.unfade
        marking = (n for n, restorer in enumerate(self.restorers) if restorer.marks_only)
        self.marked = None if alone else next(marking, None)
        """Which step a mask limits: the one that takes marks away; None: the whole."""

    def result_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the result for a picture of this size."""
        result = height * self.scale, width * self.scale
        return result if self.size is None else self.size.of(result, (height, width))

    def mask_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a mask for a picture of this size, where it is used."""
        used = self.restorers if self.marked is None else self.restorers[: self.marked + 1]
        scale = prod(restorer.scale for restorer in used)
        return height * scale, width * scale

    def restore_arrays(
        self,
        colours: NDArray[Any],
        alpha: NDArray[Any] | None,
        progress: Progress,
        limits: Limits | None = None,
    ) -> Planes:
        """Colours (H, W, 1 or 3) and alpha (H, W) restored, where there are limits within them."""
        restored = self._restore_arrays(colours, alpha, progress, limits)
        if self.size is None:
            return restored
        return resized_with_alpha(*restored, *self.result_size(*colours.shape[:2]))

    def _restore_arrays(
        self,
        colours: NDArray[Any],
        alpha: NDArray[Any] | None,
        progress: Progress,
        limits: Limits | None,
    ) -> Planes:
        """All but the last step, `size`."""
        before = colours, alpha
        for number, restorer in enumerate(self.restorers):
            given = colours, alpha
            tell = partial(_share, progress, number, len(self.restorers))
            colours, alpha = restorer.restore_arrays(colours, alpha, tell)
            if limits is not None and number == self.marked:
                colours, alpha = limits.limit(given, (colours, alpha))
        if self.unfade:  # after the noise is gone, which would count as black and white
            colours = unfade(colours)
        if self.strength < 1:
            colours_before, alpha_before = resized_with_alpha(*before, *colours.shape[:2])
            if alpha_before is not None:  # what was hidden may show where edges soften
                colours_before = grow_colours(colours_before, alpha_before)
            colours = blended(colours_before, colours, self.strength)
            if alpha is not None and alpha_before is not None:
                alpha = blended(alpha_before, alpha, self.strength)
        if limits is not None and self.marked is None:
            colours, alpha = limits.limit(before, (colours, alpha))
        return colours, alpha

    def restore_picture(
        self,
        picture: Picture,
        *,
        progress: Progress | None = None,
        limits: Limits | None = None,
    ) -> Picture:
        """The same picture restored, with its transparency, profile and EXIF.

        Args:
            picture: any.
            progress: told the share that is done.
            limits: where it may be changed. Of several models one may be for taking marks away
                (task `scratches`): the mask is that one's alone, and the others have it all.
        """
        told = progress or (lambda share: None)
        pixels, alpha = self.restore_arrays(picture.pixels, picture.alpha, told, limits)
        return replace(picture, pixels=pixels, alpha=alpha)

    def seconds_per_pixel(self) -> float:
        """What a pixel of a picture will take here, about: found on small pieces."""
        self._seconds(_PIECES[0])  # the first one also loads and compiles
        seconds = 0.0
        for side in _PIECES:
            if seconds * side**2 > _PATIENCE:
                break
            seconds = self._seconds(side) / side**2
        return seconds

    def _seconds(self, side: int) -> float:
        piece = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        started = time.perf_counter()
        self._restore_arrays(piece, None, lambda share: None, None)
        return time.perf_counter() - started


def _checked_strength(strength: Any) -> float:
    wrong = InputError(f"strength {strength!r}: must be from 0 to 1, such as 0.5")
    if isinstance(strength, str):
        raise wrong
    try:
        share = float(strength)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if not 0 <= share <= 1:
        raise InputError(f"strength {share:g}: must be from 0 to 1")
    return share


def _steps(model: Model) -> Sequence[Model]:
    """A model, or those that a chain stands for."""
    chain = CHAINS.get(model) if isinstance(model, str) else None
    return [model] if chain is None else chain.models


class _Masked(PictureRestorer):
    """A pipeline that changes pictures only within a mask."""

    def __init__(self, pipeline: Pipeline, mask: NDArray[Any]) -> None:
        self.pipeline, self.mask, self.scale = pipeline, mask, pipeline.scale

    def restore_arrays(
        self, colours: NDArray[Any], alpha: NDArray[Any] | None, progress: Progress
    ) -> Planes:
        with about("the mask"):
            mask = as_mask(self.mask, *self.pipeline.mask_size(*colours.shape[:2]))
        return self.pipeline.restore_arrays(colours, alpha, progress, Limits(mask))


def restore(
    image: Any,
    model: Model | Iterable[Model] | None = None,
    *,
    unfade: bool = False,
    strength: float = 1.0,
    size: str | None = None,
    mask: Any = None,
    **options: Unpack[RestoreOptions],
) -> Any:
    """Restore a picture, or a list of them; `Pipeline` and `Restorer` load models once for many.

    Args:
        image: in any form that `Restorer` takes; what comes in comes out.
        model: one, or several in order. None takes the default, as `iln restore` does, and one
            line of the log says which.
        unfade: stretch the colours of a faded print after the models.
        strength: how much of the result is taken, from 0 to 1; the rest is the picture as it was.
        size: of the result, as `--size` takes it, such as "4000x" or "150%".
        mask: restore only where this is white, or True; in any form that a picture has, of any size
            of the same proportions. See `Pipeline.restore_picture` for several models.
        options: see `RestoreOptions`.

    Raises:
        InputError: for anything that a user can mend.
    """
    models = default_model() if model is None else model
    pipeline = Pipeline(models, unfade=unfade, strength=strength, size=size, **options)
    if mask is None:
        return pipeline(image)
    if isinstance(image, (list, tuple)) or getattr(image, "ndim", 0) == 4:
        raise InputError("mask: is of one picture; restore the pictures one by one")
    if getattr(mask, "dtype", None) == torch.bool:
        mask = mask.to(torch.uint8) * 255
    elif getattr(mask, "dtype", None) == np.bool_:
        mask = np.asarray(mask).astype(np.uint8) * 255
    with about("the mask"):
        array = as_input(mask).array
    return _Masked(pipeline, array)(image)


def _share(progress: Progress, done: int, of: int, share: float) -> None:
    progress((done + share) / of)
