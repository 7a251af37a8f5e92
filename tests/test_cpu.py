"""What a CPU is taken to have, from its flags and from the limit that oneDNN obeys."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from iln import cpu
from iln.cpu import Instructions, decide, instructions

ZEN3 = ("avx2", "fma3")
SKYLAKE = (*ZEN3, "avx512_f", "avx512_bw")
CASCADE_LAKE = (*SKYLAKE, "avx512_vnni")
ZEN4 = (*CASCADE_LAKE, "avx512_bf16")
ZEN5 = (*ZEN4, "avx_vnni")
ALDER_LAKE = (*ZEN3, "avx_vnni")
SAPPHIRE_RAPIDS = (*ZEN5, "amx_bf16", "amx_int8")


@pytest.mark.parametrize(
    ("flags", "limit", "int8", "bf16"),
    [
        (ZEN3, "", False, False),
        (SKYLAKE, "", False, False),
        (CASCADE_LAKE, "", True, False),
        (ALDER_LAKE, "", True, False),
        (ZEN4, "", True, True),
        (SAPPHIRE_RAPIDS, "", True, True),
        (SAPPHIRE_RAPIDS, "AVX2", False, False),
        (SAPPHIRE_RAPIDS, "AVX2_VNNI", True, False),
        (ZEN4, "AVX2_VNNI", False, False),
        (SAPPHIRE_RAPIDS, "AVX512_CORE", False, False),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_VNNI", True, False),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_BF16", True, True),
        (SAPPHIRE_RAPIDS, "DEFAULT", True, True),
        (ZEN3, "AVX512_CORE_AMX", False, False),
    ],
)
def test_of_x86(flags: tuple[str, ...], limit: str, int8: bool, bf16: bool) -> None:
    found = decide(dict.fromkeys(flags, True), limit, x86=True)
    assert (found.int8, found.bf16) == (int8, bf16)


@pytest.mark.parametrize(
    ("limit", "fp16"), [("", True), ("AVX512_CORE_BF16", False), ("AVX512_CORE_FP16", True)]
)
def test_of_float16(limit: str, fp16: bool) -> None:
    assert decide({"avx512_fp16": True}, limit, x86=True).fp16 == fp16


@pytest.mark.parametrize(
    ("flags", "limit", "avx512"),
    [
        (ZEN3, "", False),
        (ALDER_LAKE, "", False),
        (SKYLAKE, "", True),
        (ZEN5, "", True),
        (ZEN5, "AVX2", False),
        (ZEN5, "AVX2_VNNI", False),
        (ZEN5, "AVX512_CORE", True),
    ],
)
def test_of_wide_vectors(flags: tuple[str, ...], limit: str, avx512: bool) -> None:
    assert decide(dict.fromkeys(flags, True), limit, x86=True).avx512 == avx512


@pytest.mark.parametrize(("flags", "bf16"), [(("neon",), False), (("neon", "bf16"), True)])
def test_of_arm(flags: tuple[str, ...], bf16: bool) -> None:
    found = decide(dict.fromkeys(flags, True), "AVX2", x86=False)
    assert found == Instructions(int8=True, bf16=bf16, fp16=False)


def test_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        assert instructions() == Instructions(int8=False, bf16=False, fp16=False)


def test_of_an_older_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.9 has no list of flags, but says what AVX-512 has."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(cpu.platform, "machine", lambda: "x86_64")
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert instructions() == Instructions(int8=True, bf16=False, fp16=False, avx512=True)


def test_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, line in ((False, "this CPU has no instructions for bf16: fp32 is faster"), (True, "")):
        monkeypatch.setattr(cpu, "instructions", lambda has=has: Instructions(has, has, has))
        assert cpu.slow_here("bf16").startswith(line) and bool(cpu.slow_here("bf16")) == bool(line)
        assert not cpu.slow_here("fp32") and not cpu.slow_here("int8")


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"), reason="for x86 with AVX2"
)
def test_the_variables_that_make_an_older_cpu_take_effect() -> None:
    """As `make test-older-cpu` sets them: PyTorch's own kernels and oneDNN's products."""
    code = (
        "import torch; from iln.cpu import instructions; "
        "print(torch.backends.cpu.get_cpu_capability(), "
        "torch.ops.mkldnn._is_mkldnn_bf16_supported(), *instructions())"
    )
    older = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **older}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["AVX2", *["False"] * 5], done.stderr
