"""What this computer's processor has instructions for, as far as precision is concerned.

PyTorch and OpenVINO compute in bfloat16 and in 8 bits on every CPU. Where it has no instructions
for that, bfloat16 is tens of times slower than float32, and sums of 8-bit products saturate.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import NamedTuple

_BELOW_DOT_PRODUCTS = ("SSE41", "AVX", "AVX2", "AVX512_CORE")
_BELOW_BFLOAT16 = (*_BELOW_DOT_PRODUCTS, "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE_VNNI")
_BELOW_FLOAT16 = (*_BELOW_BFLOAT16, "AVX512_CORE_BF16")
_BELOW_AVX512 = ("AVX2_VNNI", "AVX2_VNNI_2")
_WITHOUT_AVX512 = ("SSE41", "AVX", "AVX2", *_BELOW_AVX512)
SHORT_SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""GNU's and LLVM's OpenMP: threads that wait for work sleep soon. By default they keep a core busy
for milliseconds, and beside other programs each wait then costs a turn of the scheduler."""


def cores() -> int:
    """How many cores this process may use."""
    # Linux may give a process some of them alone.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Instructions(NamedTuple):
    """Of this CPU.

    Attributes:
        int8: products of 8-bit numbers are summed in 32 bits. Without it (x86 before VNNI) two
            products of an unsigned and a signed number are summed in 16 bits, and what does not fit
            saturates.
        bf16: products of bfloat16 matrices, faster than those of float32.
        fp16: the same of float16.
        avx512: vectors of 64 bytes (x86).
    """

    int8: bool
    bf16: bool
    fp16: bool
    avx512: bool = False


def instructions() -> Instructions:
    """What the CPU has, less what the environment variable `ONEDNN_MAX_CPU_ISA` rules out.

    oneDNN, which computes products for PyTorch and OpenVINO, obeys that variable.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    return decide(_flags(), limit.upper(), x86=platform.machine().lower() in ("x86_64", "amd64"))


def slow_here(precision: str) -> str:
    """One line if PyTorch computes in this precision without instructions for it; else empty."""
    if precision not in ("bf16", "fp16") or getattr(instructions(), precision):
        return ""
    return f"this CPU has no instructions for {precision}: fp32 is faster, often many times"


def decide(flags: Mapping[str, bool], limit: str, *, x86: bool) -> Instructions:
    """`instructions` for given CPU flags, as `torch.cpu.get_capabilities` names them, and limit."""

    def has(*names: str) -> bool:
        return any(flags.get(name, False) for name in names)

    if not x86:  # Arm: 8-bit products never saturate there, with dot products or without
        return Instructions(int8=True, bf16=has("bf16", "sve_bf16"), fp16=has("fp16_arith"))
    wide = limit not in _BELOW_AVX512
    return Instructions(
        int8=limit not in _BELOW_DOT_PRODUCTS
        and (has("avx_vnni") or (wide and has("avx512_vnni", "amx_int8"))),
        bf16=limit not in _BELOW_BFLOAT16 and has("avx512_bf16", "amx_bf16"),
        fp16=limit not in _BELOW_FLOAT16 and has("avx512_fp16", "amx_fp16"),
        avx512=limit not in _WITHOUT_AVX512 and has("avx512_f"),
    )


def _flags() -> Mapping[str, bool]:
    import torch

    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {  # PyTorch 2.9
        "avx512_f": torch.cpu._is_avx512_supported(),
        "avx512_vnni": torch.cpu._is_vnni_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
    }
