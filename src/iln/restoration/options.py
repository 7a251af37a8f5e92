"""Keyword options of restoration, with their validation."""

from __future__ import annotations

from typing import TypedDict


class CheckpointOverrides(TypedDict, total=False):
    """Values to use where the checkpoint file does not record them (see `iln.load`)."""

    norm: str | None
    input_stats: str | None
    img_range: float | None
    eps: float | None


class RestoreOptions(CheckpointOverrides, total=False):
    """Keywords of `iln.Restorer`, `iln.restore` and `iln.evaluate`, all of them optional."""

    memory: str | int | None
    """Peak of the whole process in bytes or as text (`4GB`); None takes 70 % of what is free.
    Feature maps that do not fit lie in temporary files; the result is the same."""
    precision: str
    """`fp32`, `bf16`, `fp16`, or `auto`: fp32 on the CPU; elsewhere fp16 if the model is found to
    be safe in it, else bf16 or fp32, and a picture that half precision cannot do is done again in
    fp32. With openvino also `int8`, for a model that `iln quantize` has made ready; and `auto` is
    bf16 where the CPU has it and the model is safe in it."""
    device: str
    """`cpu`, `cuda`, `mps`, or `auto` (an accelerator where there is one)."""
    engine: str
    """`torch`, the default here; `openvino`, which computes the same faster on a CPU
    (`iln.deploy.openvino`); or `auto`, the faster one for this network and processor by what was
    measured (`iln.restoration.engine`), the default of `iln restore`."""


CHECKPOINT_OVERRIDES = sorted(CheckpointOverrides.__optional_keys__)


def check_names(options: RestoreOptions) -> None:
    """Raises TypeError for a keyword that is no option, as a function with named ones would."""
    if unknown := sorted(options.keys() - RestoreOptions.__optional_keys__):
        known = ", ".join(sorted(RestoreOptions.__optional_keys__))
        raise TypeError(f"unexpected option {unknown[0]!r}; there are {known}")
