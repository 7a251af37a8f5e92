"""Measure a network's error and overflow in half precision by running it."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from iln.backbones import Backbone
from iln.cpu import slow_here
from iln.layers.nonfinite import FiniteWatch

_ATEN = torch.ops.aten
_PRODUCTS = {
    *(_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.baddbmm.default),
    *(_ATEN.convolution.default, _ATEN._scaled_dot_product_flash_attention_for_cpu.default),
}
NAMES = {torch.float16: "fp16", torch.bfloat16: "bf16"}


class WideProducts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside it, products of tensors of `dtype` are summed in float32 and rounded at the end.

    So do processors with instructions for that type; PyTorch without them does too, slowly.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype = dtype

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func not in _PRODUCTS:
            return func(*args, **(kwargs or {}))
        narrow = False

        def widened(value: Any) -> Any:
            nonlocal narrow
            if not isinstance(value, Tensor) or value.dtype != self.dtype:
                return value
            narrow = True
            return value.float()

        args, kwargs = tree_map(widened, (args, kwargs or {}))
        result = func(*args, **kwargs)
        if not narrow:
            return result
        return tree_map(lambda t: t.to(self.dtype) if isinstance(t, Tensor) else t, result)


@dataclass(frozen=True)
class PrecisionRun:
    """A network run with weights and features of another type, beside its float32 output.

    Attributes:
        dtype: `float16`, `bfloat16`, or `float32` for the reference itself.
        values: how many numbers the outputs have.
        nonfinite: how many of them are infinite or NaN.
        psnr: dB against the float32 output, 10 log10(1 / E[(y - y32)^2]) over all pictures, both
            clipped to [0, 1] as written pictures are, but not rounded; what is not finite counts as
            0, black. Infinite where nothing differs; None for the reference, and where that is not
            finite itself.
        first_module: the first one whose output is not finite, in the order in which they compute;
            None if all are finite.
        first_block: the first Transformer block of which that is true.
        weights: names of finite parameters that are infinite in this type.
    """

    dtype: str
    values: int
    nonfinite: int
    psnr: float | None
    first_module: str | None
    first_block: str | None
    weights: tuple[str, ...] = ()


class PrecisionTrial:
    """Runs a copy of a network in `dtype`, picture after picture, and keeps the score."""

    def __init__(self, model: Backbone, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.model = copy.deepcopy(model).to(dtype)
        narrowed = dict(self.model.named_parameters())
        self.weights = tuple(
            name
            for name, p in model.named_parameters()
            if bool((torch.isfinite(p) & ~torch.isfinite(narrowed[name])).any())
        )
        self.watch = _watch(self.model)
        on_cpu = next(model.parameters()).device.type == "cpu"
        slow = on_cpu and bool(slow_here(NAMES[dtype]))
        self._products = WideProducts(dtype) if slow else nullcontext()
        self.values = self.nonfinite = 0
        self._squares = 0.0
        self._comparable = True

    def __call__(self, image: Tensor, reference: Tensor) -> Tensor:
        """The output for image (B, C, H, W), compared with the float32 one."""
        with self.watch, self._products:
            output: Tensor = self.model(image)
        self.values += output.numel()
        self.nonfinite += nonfinite(output)
        self._comparable &= not nonfinite(reference)
        difference = (clamp_output(output) - clamp_output(reference)).cpu().to(torch.float64)
        self._squares += difference.square().sum().item()
        return output

    def result(self) -> PrecisionRun:
        """Of all pictures so far, one at least."""
        error = self._squares / self.values
        psnr = -10 * math.log10(error) if error else math.inf
        return PrecisionRun(
            str(self.dtype).removeprefix("torch."),
            self.values,
            self.nonfinite,
            psnr if self._comparable else None,
            self.watch.first(),
            self.watch.first(self.model.blocks()),
            self.weights,
        )


class Reference:
    """The same for the float32 network itself, which may be broken too."""

    def __init__(self, model: Backbone) -> None:
        self.model = model
        self.watch = _watch(model)
        self.values = self.nonfinite = 0

    def __call__(self, image: Tensor) -> Tensor:
        """The output for image (B, C, H, W)."""
        with self.watch:
            output: Tensor = self.model(image)
        self.values += output.numel()
        self.nonfinite += nonfinite(output)
        return output

    def result(self) -> PrecisionRun:
        """Of all pictures so far. weights: those that are not finite as they are."""
        bad = (n for n, p in self.model.named_parameters() if not torch.isfinite(p).all())
        return PrecisionRun(
            "float32",
            self.values,
            self.nonfinite,
            None,
            self.watch.first(),
            self.watch.first(self.model.blocks()),
            tuple(bad),
        )


def clamp_output(output: Tensor) -> Tensor:
    """Clipped to [0, 1], in float32 or wider; infinities and NaN are 0, black."""
    return torch.where(torch.isfinite(output), output, 0).clamp(0, 1)


def nonfinite(output: Tensor) -> int:
    """How many values are infinite or NaN."""
    return output.numel() - int(torch.isfinite(output).sum().item())


def _watch(model: Backbone) -> FiniteWatch:
    return FiniteWatch({name: module for name, module in model.named_modules() if name})
