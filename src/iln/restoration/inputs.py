"""Pictures as Python programs hold them: arrays, Pillow's pictures, PyTorch's tensors."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iln.atomic import printable
from iln.errors import InputError
from iln.images import Picture, read
from iln.images.decoding import cmyk_to_srgb
from iln.images.libvips import libvips

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[float], None]
"""Told now and then which share (0 to 1) of a picture is done."""

_PALETTES = {"P": "RGB", "PA": "RGBA", "1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_COLOUR_MODELS = {"YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Input:
    """A picture as an array, and the way back.

    Attributes:
        array: (H, W) or (H, W, C) of uint8, uint16 or float in [0, 1].
        back: turns the restored array into the form that was given.
    """

    array: NDArray[Any]
    back: Callable[[NDArray[Any]], Any]


def as_input(image: Any, unclipped: bool = False) -> Input:
    """A picture in any form that is taken, as an array.

    A file's name, its bytes or an open file come back as an array of the depth stored, alpha as
    the last channel. Arrays, Pillow's pictures and tensors come back as what they were, tensors on
    their device.

    Raises:
        InputError: for anything else, and for numbers that are no picture.
    """
    if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(
        image, "read"
    ):
        return Input(joined(read(image)), lambda array: array)
    if isinstance(image, Tensor):
        return _of_tensor(image, unclipped)
    if isinstance(image, np.ndarray):
        # As a plain array: a matrix, which is never of three dimensions, is one of gray values.
        return Input(checked(np.asarray(image), unclipped), lambda array: array)
    from PIL import Image as pillow

    if isinstance(image, pillow.Image):
        return _of_pillow(image)
    raise InputError(
        f"a picture of type {type(image).__name__}; accepted are a file's name, its bytes, an open "
        "file, an array (H, W, C), a picture of Pillow's, a tensor (C, H, W) or (B, C, H, W), and "
        "lists of them"
    )


def joined(picture: Picture) -> NDArray[Any]:
    """Colours and alpha as one array (H, W, C)."""
    if picture.alpha is None:
        return picture.pixels
    return np.concatenate([picture.pixels, picture.alpha[..., None]], 2)


def checked(image: NDArray[Any], unclipped: bool) -> NDArray[Any]:
    """The array in this machine's byte order, if it is a picture. Raises InputError if not."""
    array = image
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise InputError(f"image has shape {array.shape}; accepted are (H, W) and (H, W, 1 to 4)")
    if 0 in array.shape:
        raise InputError(f"image has shape {array.shape}: no pixels")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise InputError(f"image is {array.dtype}; accepted are uint8, uint16, and float in [0, 1]")
    if array.dtype.kind == "f" and not (np.isfinite(array).all()):
        raise InputError("image holds values that are not finite; accepted are floats in [0, 1]")
    far = array.dtype.kind == "f" and (array.min() < -0.5 or array.max() > 1.5)
    if far and not unclipped:
        raise InputError(
            f"image holds values from {array.min():g} to {array.max():g}; "
            "floats must be in [0, 1] (divide by 255?)"
        )
    return array


def _of_tensor(image: Tensor, unclipped: bool) -> Input:
    """(C, H, W), or (H, W) which is gray."""
    if image.is_nested:
        raise InputError("tensor is nested; give a list of tensors")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 2, 3, 4)):
        raise InputError(
            f"tensor has shape {tuple(image.shape)}; accepted are (H, W), (C, H, W) and "
            "(B, C, H, W) with 1 to 4 channels"
        )
    dtype, device = image.dtype, image.device
    try:
        plain = image.detach().cpu().resolve_neg()
        if dtype == torch.bfloat16:  # numpy has none
            plain = plain.float()
        values = (plain.permute(1, 2, 0) if plain.ndim == 3 else plain).numpy()
    except (TypeError, RuntimeError):  # sparse, quantized, of the meta device, of 8-bit floats
        raise InputError(
            f"tensor is {image.layout}, {dtype} on {device}; accepted are plain ones of uint8, "
            "uint16, and float in [0, 1]"
        ) from None
    array = checked(values, unclipped)

    def back(result: NDArray[Any]) -> Tensor:
        found = torch.from_numpy(result)
        found = found.permute(2, 0, 1).contiguous() if found.ndim == 3 else found
        return found.to(device, dtype)

    return Input(array, back)


def _of_pillow(image: Image) -> Input:
    """A picture of Pillow's: palettes and colour models become what they mean."""
    mode = image.mode
    array: NDArray[Any]
    if 0 in image.size:
        raise InputError(f"a picture of Pillow's of {image.width} x {image.height}: no pixels")
    try:
        image.load()  # which Pillow puts off until the pixels are asked for
    except Exception as error:  # on a damaged file Pillow raises nearly anything
        words = printable(str(error))[:120]
        raise InputError(f"a picture of Pillow's cannot be decoded: {words}") from None
    if mode in _DEEP:
        array = np.asarray(image).astype(np.uint16)
    elif mode == "CMYK":
        array = _of_cmyk(image)
    elif mode in ("I", "F"):
        array = _of_wide(image)
    else:
        target = _PALETTES.get(mode) or _COLOUR_MODELS.get(mode) or mode
        seen_through = image.info.get("transparency")
        if mode == "P" and seen_through is not None:
            target = "RGBA"
        elif mode in ("L", "RGB", "1") and isinstance(seen_through, (int, tuple)):  # one colour
            target = "RGBA" if mode == "RGB" else "LA"
        if target not in ("L", "LA", "RGB", "RGBA"):
            raise InputError(f"a picture of Pillow's mode {mode}; convert it to RGB")
        array = np.asarray(image if target == mode else image.convert(target))
    info = {key: value for key, value in image.info.items() if key != "transparency"}
    if mode == "CMYK":
        info.pop("icc_profile", None)  # of the inks, which are gone

    def back(result: NDArray[Any]) -> Image:
        from PIL import Image as pillow

        squeezed = result[..., 0] if result.ndim == 3 and result.shape[2] == 1 else result
        found = pillow.fromarray(squeezed)
        found.info = info
        return found

    return Input(array, back)


def _of_cmyk(image: Image) -> NDArray[np.uint8]:
    inks = np.ascontiguousarray(np.asarray(image))
    height, width, bands = inks.shape
    stored = libvips().Image.new_from_memory(inks.data, width, height, bands, "uchar")
    stored = stored.copy(interpretation="cmyk")
    if profile := image.info.get("icc_profile"):
        stored.set_type(libvips().GValue.blob_type, "icc-profile-data", profile)
    colours: NDArray[np.uint8] = cmyk_to_srgb(stored).numpy()
    return colours


def _of_wide(image: Image) -> NDArray[Any]:
    """Pillow's 32 bits: integers of 16 bits, as it reads a PNG of 16 bits, or floats in [0, 1]."""
    array = np.asarray(image)
    if image.mode == "F":
        return checked(array, False)
    if array.min() < 0 or array.max() > 65535:
        raise InputError(
            f"a picture of Pillow's mode I with values from {array.min()} to {array.max()}; "
            "accepted are 0 to 65535"
        )
    return array.astype(np.uint16)


class PictureRestorer(ABC):
    """Anything that restores pictures, in every form that programs hold them in."""

    scale: int
    """How many times as high and wide the networks make a picture."""

    @abstractmethod
    def restore_arrays(
        self, colours: NDArray[Any], alpha: NDArray[Any] | None, progress: Progress
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Colours (H, W, 1 or 3) and alpha (H, W) restored."""

    def __call__(
        self,
        image: Any,
        *,
        unclipped: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Restore a picture, or a list of them; what comes in comes out.

        Args:
            image: a file's name, its bytes or an open file; an array (H, W) or (H, W, C) of uint8,
                uint16, or float in [0, 1], C = 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB,
                alpha); a picture of Pillow's; a tensor (H, W), (C, H, W) or (B, C, H, W) of the
                same numbers, on any device; or a list of any of these.
            unclipped: take floats far beyond [0, 1] as well, and show them to the network as they
                are: noise that was never clipped. The result is in [0, 1] all the same.

        Returns:
            The same kind, `scale` times as high and wide: a picture of Pillow's for one (palettes
            and colour models other than gray and RGB become RGB), a tensor of the same dtype on
            the same device for one, a list for a list. A file becomes an array of uint8 or uint16
            as stored, alpha as the last channel.

        Raises:
            InputError: for anything else, and if the result is not finite.
        """
        told = progress or _ignore
        if isinstance(image, (list, tuple)):
            return list(self._each(list(image), unclipped, told))
        if isinstance(image, Tensor) and not image.is_nested and image.ndim == 4:
            return torch.stack(list(self._each(list(image), unclipped, told)))
        given = as_input(image, unclipped)
        array = given.array
        channels = array if array.ndim == 3 else array[..., None]
        alpha = channels[..., -1] if channels.shape[2] in (2, 4) else None
        colours = channels if alpha is None else channels[..., :-1]
        colours, alpha = self.restore_arrays(colours, alpha, told)
        result = colours if alpha is None else np.concatenate([colours, alpha[..., None]], 2)
        if result.dtype.kind == "f":  # what is left as it was may be far beyond
            result = result.clip(0, 1)
        return given.back(result[..., 0] if array.ndim == 2 else result)

    def _each(self, images: list[Any], unclipped: bool, progress: Progress) -> Iterator[Any]:
        if not images:
            raise InputError("an empty list; give one picture at least")
        for number, image in enumerate(images):

            def tell(share: float, number: int = number) -> None:
                progress((number + share) / len(images))

            yield self(image, unclipped=unclipped, progress=tell)

    def restore_picture(self, picture: Picture, *, progress: Progress | None = None) -> Picture:
        """The same picture restored, with its transparency, profile and EXIF."""
        pixels, alpha = self.restore_arrays(picture.pixels, picture.alpha, progress or _ignore)
        return replace(picture, pixels=pixels, alpha=alpha)


def _ignore(share: float) -> None:
    pass
