"""A picture in, a restored picture out."""

from __future__ import annotations

import copy
import logging
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iln.atomic import printable
from iln.backbones import Backbone
from iln.checkpoints.hub import is_address
from iln.checkpoints.native import as_model, load, said_by
from iln.cpu import slow_here
from iln.errors import InputError
from iln.images.mask import take_smaller_changes, undo_small_changes
from iln.images.transparency import grow_colours, keep_clear_and_opaque
from iln.layers.forward_pass import Allocate, Strips
from iln.restoration.engine import choose_engine
from iln.restoration.inputs import PictureRestorer, Progress
from iln.restoration.memory import DiskMaps, available, parse_bytes, release, resident
from iln.restoration.options import CHECKPOINT_OVERRIDES, RestoreOptions, check_names
from iln.restoration.plan import MemoryPlan, make_plan
from iln.restoration.precision import choose

if TYPE_CHECKING:
    from iln.deploy.openvino import WholeGraph

GRAPH_SUFFIX = ".xml"
"""Of the graph of a whole network, as `iln export --to openvino` writes it."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEVICES = ("cpu", "cuda", "mps")
ENGINES = ("auto", "torch", "openvino")
SHARE_OF_FREE_MEMORY = 0.7
"""What is taken of the free memory if no budget is given."""

_MARKS = "scratches"
"""Task of networks that take marks away."""
CHUNK = 64
"""Rows that are converted between a picture and a tensor at a time."""

log = logging.getLogger("iln")


class _NotFiniteError(InputError):
    """A result with infinities or NaN, of a network in that precision. what: without advice."""

    def __init__(self, count: int, precision: str) -> None:
        hints = {
            "fp32": "the model's weights are broken, or the picture's values are far from [0, 1]",
            "bf16": "use --precision fp32",
            "fp16": "use --precision fp32 or bf16, or make the model safe by `iln rescue`",
            "int8": "use --precision fp32, or measure its ranges again (`iln quantize`)",
        }
        self.precision = precision
        self.what = f"{count} of the result's values are not finite in {precision}"
        super().__init__(f"{self.what}: {hints[precision]}")


def is_graph(model: object) -> bool:
    """Is it the name of a graph's file?"""
    if is_address(model):
        return False
    return isinstance(model, (str, os.PathLike)) and Path(model).suffix == GRAPH_SUFFIX


class Restorer(PictureRestorer):
    """A network, loaded once, that restores pictures of any size exactly.

    A model for marks (task `scratches`) changes a picture only where it clearly does. It restores
    the picture and its transpose (with a graph: turned by half), and each pixel is taken from where
    it changed less (`iln.images.mask.take_smaller_changes`): what is a mark one way only is none.
    What it changes a little, over all of the picture, is taken back (`undo_small_changes`).
    One object may be used from several threads; pictures are then done one after the other. A
    process that is forked from one that has restored hangs, as OpenMP's threads are not forked with
    it: have `multiprocessing` spawn, and make one there.

    Args:
        model: a shipped model's name, a file, or a module from `iln.build` or `iln.load` (a copy is
            used); or an OpenVINO graph (.xml) of `iln export` or `iln quantize`, which computes
            pictures in one piece.
        options: see `RestoreOptions`.

    Raises:
        InputError: for a model, size, precision or device that cannot be had.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Backbone,
        **options: Unpack[RestoreOptions],
    ) -> None:
        check_names(options)
        model = as_model(model)
        precision, device = options.get("precision", "auto"), options.get("device", "auto")
        engine = options.get("engine", "torch")
        if not isinstance(model, Backbone) and is_graph(model):
            if options.get("engine") == "torch":
                raise InputError(
                    f"{printable(model)} is a graph, which OpenVINO alone computes; leave the "
                    "engine away"
                )
            engine = "openvino"
        check_choice(precision, device, engine)
        memory = options.get("memory")
        self.engine = engine
        """What computes: `torch` or `openvino`; `auto` is replaced when the network is known."""
        self.memory = None if memory is None else parse_bytes(memory)
        self.device = find_device("cpu" if engine == "openvino" else device)
        given = {n: options.get(n) for n in CHECKPOINT_OVERRIDES if options.get(n) is not None}
        if given and (isinstance(model, Backbone) or is_graph(model)):
            raise InputError(
                f"{', '.join(given)}: only for a model from a file that does not say it"
            )
        self._spare: Backbone | None = None
        self._unused = 0
        """Bytes that the engine will take for itself in the first picture, and then hold."""
        self.model: Backbone | WholeGraph
        self.precision = precision
        """What is computed in: `fp32`, `bf16`, `fp16` or `int8`."""
        self._graph: WholeGraph | None = None
        self._turns: AbstractContextManager[Any] = nullcontext()
        """Held while it computes."""
        self._strip_bytes: int | None = None
        """Of a strip that suits the engine; None: as the plan finds it."""
        if not isinstance(model, Backbone) and is_graph(model):
            self._open(model)
        else:
            self._prepare(model, given)
        torch_computes = self.engine == "torch"
        self.dtype = PRECISIONS[self.precision] if torch_computes else torch.float32
        """Of the feature maps."""
        self.scale = self.model.spec.scale
        self.marks_only = self.scale == 1 and self._task(model) == _MARKS
        """Whether what is no clear mark is taken back."""
        self._may_move = device == "auto"
        self._passes = _count_passes(self.model) if isinstance(self.model, Backbone) else 1.0
        self._lock = threading.Lock()

    # `_open` and `_prepare` alone know another engine, which is loaded where one is asked for.

    def _open(self, file: str | os.PathLike[str]) -> None:
        from iln.deploy.openvino import WholeGraph

        self.model = self._graph = WholeGraph(file, self.precision)
        self.precision = self._graph.precision

    def _task(self, model: str | os.PathLike[str] | Backbone) -> str | None:
        """What the network was trained for, where that is known."""
        if self._graph is not None:
            said = self._graph.task
        elif isinstance(model, Backbone):
            return None
        else:
            said = said_by(model).get("task")
        return None if said is None else str(said).partition(":")[0]

    def _prepare(self, model: str | os.PathLike[str] | Backbone, given: dict[str, Any]) -> None:
        """A network for this engine, in the precision asked for; `auto` is replaced."""
        # A copy, because the caller's stays in its mode and precision.
        network = copy.deepcopy(model) if isinstance(model, Backbone) else load(model, **given)
        network = network.to(self.device, torch.float32).eval()
        if self.engine == "auto":
            self.engine = choose_engine(network.spec, self.device, self.precision)
        # Where half precision is our choice, float32 stands by for a picture that it cannot do.
        spare = copy.deepcopy(network) if self.precision == "auto" else None
        if self.engine == "torch":
            if self.precision == "auto":
                self.precision = choose(network, self.device)
            elif self.device.type == "cpu" and (line := slow_here(self.precision)):
                log.info("%s", line)
            self.model = network.to(PRECISIONS[self.precision])
        else:
            from iln.deploy import openvino

            self.model, self.precision = openvino.compile_for(network, self.precision)
            self._unused = openvino.scratch_bytes(self.model)
            self._strip_bytes = openvino.STRIP
            self._turns = openvino.ONE_AT_A_TIME
        self._spare = spare if self.precision != "fp32" else None

    def restore_arrays(
        self, colours: NDArray[Any], alpha: NDArray[Any] | None, progress: Progress
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Colours (H, W, 1 or 3), and alpha (H, W) as one more gray picture."""
        if alpha is None:
            return self._restored(colours, progress), None
        full = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        if (alpha == full).all():  # opaque stays exactly opaque
            result = self._restored(colours, progress)
            return result, np.full(result.shape[:2], full, result.dtype)
        grown = grow_colours(colours, alpha)
        result = self._restored(grown, lambda share: progress(share / 2))
        mask = self._restored(alpha[..., None], lambda share: progress(0.5 + share / 2))
        keep_clear_and_opaque(alpha, mask[..., 0])
        return result, mask[..., 0]

    def _restored(self, pixels: NDArray[Any], progress: Progress) -> NDArray[Any]:
        """(H, W, 1 or 3) -> the same, restored."""
        if not self.marks_only:
            return self._restore(pixels, progress)
        result = self._restore(pixels, lambda share: progress(share / 2))
        # The transpose tells more than half a turn, but a graph may be for one size alone.
        turn = _transposed if self._graph is None else _half_turned
        other = self._restore(turn(pixels), lambda share: progress(0.5 + share / 2))
        take_smaller_changes(pixels, result, turn(other))
        undo_small_changes(pixels, result)
        return result

    def _restore(self, pixels: NDArray[Any], progress: Progress) -> NDArray[Any]:
        """(H, W, 1 or 3) of one dtype -> (scale H, scale W, same) of the same dtype."""
        try:
            return self._restore_once(pixels, progress)
        except _NotFiniteError as error:
            with self._lock:
                # Another thread may have come to that first.
                if self._spare is None and self.precision == error.precision:
                    raise  # nobody chose but the caller
                if self._spare is not None:
                    log.info("%s; done again in fp32, and so are the next pictures", error.what)
                self._widen()
        return self._restore_once(pixels, progress)

    def _widen(self) -> None:
        """From half precision that was our choice to float32, which PyTorch computes."""
        if self._spare is not None:
            self.model, self.dtype = self._spare.to(self.device), torch.float32
            self.precision, self._spare = "fp32", None
            self.engine, self._strip_bytes = "torch", None

    def _restore_once(self, pixels: NDArray[Any], progress: Progress) -> NDArray[Any]:
        spec = self.model.spec
        height, width, channels = pixels.shape
        if channels == 3 and spec.in_chans == 1:
            shape = (height * self.scale, width * self.scale, 3)
            result: NDArray[Any] = np.empty(shape, pixels.dtype)
            for i in range(3):

                def tell(share: float, i: int = i) -> None:
                    progress((i + share) / 3)

                result[..., i : i + 1] = self._restore(pixels[..., i : i + 1], tell)
            return result
        plain = torch.autocast(self.device.type, enabled=False)  # the precision is ours to choose
        with self._lock, self._turns, torch.inference_mode(), plain:
            precision = self.precision
            strips = self._strips(height, width, channels * pixels.dtype.itemsize, progress)
            image = _to_tensor(pixels, spec.in_chans, strips.allocate).to(self.device)
            output = self.model(image, strips)
            self._unused = 0
            del image
            result, bad = _to_array(output, channels, pixels.dtype, strips.allocate)
        if bad:
            raise _NotFiniteError(bad, precision)
        progress(1.0)  # the sum of the strips' shares may miss it by a rounding
        return result

    def _strips(self, height: int, width: int, result_bytes: int, progress: Progress) -> Strips:
        """How to go over a picture of that size, within the budget."""
        if self._graph is not None:
            self._graph.check(height, width, self._budget())
            return Strips(height)
        plan = self._plan(height, width, result_bytes)
        strips = _progressing_strips(plan.rows, self._passes, progress)
        if plan.on_disk:
            log.info(
                "%d x %d pixels: feature maps lie in temporary files, which is slower but "
                "exact; more memory (--memory) avoids it",
                width,
                height,
            )
            strips.allocate = DiskMaps()
        return strips

    def _plan(self, height: int, width: int, result_bytes: int) -> MemoryPlan:
        """Within the budget; on the CPU where the device was ours to choose and is too small."""
        budget = self._budget()
        spec, itemsize = self.model.spec, self.dtype.itemsize
        on_cpu = self.device.type == "cpu"
        try:
            plan = make_plan(
                spec,
                height,
                width,
                budget,
                itemsize,
                disk=on_cpu,
                result_bytes=result_bytes,
                strip_bytes=self._strip_bytes,
            )
        except InputError as error:
            if not self._may_move:
                raise
            log.info("restoring on the CPU, and so the next pictures: %s", error)
            self.device = torch.device("cpu")
            self._widen()
            self.model.to(self.device)
            return self._plan(height, width, result_bytes)
        if on_cpu and self.memory is not None and plan.peak > budget:
            log.warning(
                "%d x %d pixels need about %d MB at least; the %d MB allowed are exceeded",
                width,
                height,
                (resident() + self._unused + plan.peak) >> 20,
                self.memory >> 20,
            )
        return plan

    def _budget(self) -> int:
        """Bytes that one picture may take beside what the process holds already."""
        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return min(int(free * 0.9), self.memory or free)
        release()
        if self.memory is None:
            return int((available() - self._unused) * SHARE_OF_FREE_MEMORY)
        return max(0, self.memory - resident() - self._unused)


def _transposed(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(pixels.swapaxes(0, 1))


def _half_turned(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(pixels[::-1, ::-1])


def find_device(name: str) -> torch.device:
    """The device a name means. Raises InputError if this machine does not have it."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(
            next(device for device, found in there.items() if found and _runs(device))
        )
    if name not in there:
        raise InputError(f"no device {name!r}; accepted: auto, {', '.join(DEVICES)}")
    if not there[name]:
        raise InputError(f"PyTorch finds no {name} device here; --device cpu always works")
    return torch.device(name)


def check_choice(precision: str, device: str, engine: str) -> None:
    """Raises InputError for words that are none of these, and for those that exclude another."""
    if engine not in ENGINES:
        raise InputError(f"no engine {engine!r}; accepted: {', '.join(ENGINES)}")
    accepted = ("auto", *PRECISIONS, *(("int8",) if engine != "torch" else ()))
    if precision == "int8" and engine == "torch":
        raise InputError("int8 is computed by OpenVINO alone; add --engine openvino")
    if precision not in accepted:
        raise InputError(f"no precision {precision!r}; accepted: {', '.join(accepted)}")
    if precision == "int8" and engine == "auto" and device not in ("auto", "cpu"):
        raise InputError(f"int8 is computed by OpenVINO alone, on a CPU and not on {device}")
    if engine == "openvino" and device not in ("auto", "cpu"):
        raise InputError(f"the openvino engine is for CPUs, not {device}; use --engine torch there")


def _runs(device: str) -> bool:
    """A GPU may be found that this build of PyTorch has no programs for."""
    try:
        return float(torch.ones(1, device=device) * 2) == 2
    except RuntimeError:
        return False


def _to_tensor(pixels: NDArray[Any], channels: int, allocate: Allocate) -> Tensor:
    """(H, W, c) of any accepted dtype -> float32 (1, channels, H, W) in [0, 1]."""
    full = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    height, width, _ = pixels.shape
    tensor = allocate((1, height, width, channels), torch.float32, torch.device("cpu"))
    for top in range(0, height, CHUNK):
        rows = torch.from_numpy(pixels[top : top + CHUNK].astype(np.float32))
        tensor[0, top : top + CHUNK] = rows / full
    return tensor.permute(0, 3, 1, 2)


def _to_array(
    output: Tensor,
    channels: int,
    dtype: np.dtype[Any],
    allocate: Allocate,
) -> tuple[NDArray[Any], int]:
    """(1, C, H, W) float -> (H, W, channels) of `dtype`, clipped to its range; and how many
    values were not finite (then the result is not to be used)."""
    maps = output[0].permute(1, 2, 0)
    height, width, _ = maps.shape
    like = torch.from_numpy(np.empty(0, dtype)).dtype
    result: NDArray[Any] = allocate((height, width, channels), like, torch.device("cpu")).numpy()
    full = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    bad = 0
    for top in range(0, height, CHUNK):
        rows = maps[top : top + CHUNK].float().cpu()
        if channels == 1 and rows.shape[2] == 3:
            rows = rows.mean(2, keepdim=True)
        finite = torch.isfinite(rows)
        if not finite.all():
            bad += int((~finite).sum())
            continue
        rows = rows.clamp(0, 1) * full
        if dtype.kind != "f":
            rows = rows.round()
        result[top : top + CHUNK] = rows.numpy().astype(dtype)
    return result, bad


def _progressing_strips(rows: int, passes: float, progress: Progress) -> Strips:
    done = 0.0

    def tick(share: float) -> None:
        nonlocal done
        done += share
        progress(min(1.0, done / passes))

    return Strips(rows, tick=tick)


def _count_passes(model: Backbone) -> float:
    """How often a forward goes over a map: found by watching one over a single window."""
    passes = 0.0

    def tick(share: float) -> None:
        nonlocal passes
        passes += share

    parameter = next(model.parameters())
    pixel = torch.zeros(1, model.spec.in_chans, 1, 1, device=parameter.device)
    with torch.inference_mode():
        model(pixel, Strips(1 << 30, tick=tick))
    return passes
