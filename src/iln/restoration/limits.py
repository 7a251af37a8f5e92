"""A restoration that changes a picture only within a mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iln.images.mask import changed_mask, within_mask
from iln.images.sizing import resized_with_alpha
from iln.images.transparency import grow_colours

Planes = tuple[NDArray[Any], NDArray[Any] | None]
"""Colours (H, W, C), and alpha (H, W) where there is one."""


@dataclass
class Limits:
    """Where one picture may be changed, and afterwards where it was.

    Attributes:
        given: (H, W), 255 restored, 0 as it is (`iln.images.mask.as_mask`, `Pipeline.mask_size`);
            None: all of it.
        find: limit the result to what is seen to change, too (`changed_mask`).
        found: (H, W) of the result, what it was limited to.
    """

    given: NDArray[np.uint8] | None = None
    find: bool = False
    found: NDArray[np.uint8] | None = field(default=None, init=False)

    @property
    def notes(self) -> list[str]:
        """What a user should know of the mask."""
        black = self.given is not None and not self.given.any()
        return ["its mask is black: nothing is restored"] if black else []

    def limit(self, before: Planes, after: Planes) -> Planes:
        """`after` within the mask, elsewhere `before`, enlarged to its size where it is larger."""
        colours, alpha = after
        height, width = colours.shape[:2]
        colours_before, alpha_before = resized_with_alpha(*before, height, width)
        mask = np.full((height, width), 255, np.uint8)
        if self.given is not None:
            mask = self.given
        if self.find:
            seen = colours_before
            if alpha_before is not None:  # networks do not see what is hidden
                seen = grow_colours(seen, alpha_before)
            mask = np.minimum(mask, changed_mask(seen, colours))
        self.found = mask
        if alpha is not None and alpha_before is not None:
            alpha = within_mask(alpha_before, alpha, mask)
        return within_mask(colours_before, colours, mask), alpha
