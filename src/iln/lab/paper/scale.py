"""How large the paper's experiments are run: `smoke`, `mini` or `paper`, each a family of recipes.

`paper` has the official settings: DF2K, HAT1 and its likes, 300,000 steps; it needs GPUs. `mini`
asks the same questions of networks of about 0.1 million parameters and 1,000 steps, on two CPU
cores. `smoke` only shows that everything runs; it draws its own pictures.

All recipes of a scale divide the input by the same statistics, whatever the norm, so that norms
alone are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iln.errors import InputError, nearest
from iln.lab.training import Recipe
from iln.lab.training.recipes import RESEARCH, derive, hat1_x4
from iln.norm import NORMS

STATS = "mean+std"
TITLES = {name: kind.title for name, kind in NORMS.items()} | {"ln": "LN", "none": "none"}
"""How pages call the norms, as the paper does."""


@dataclass(frozen=True)
class Scale:
    """A family of recipes: `recipe` picks one.

    Attributes:
        tasks: what their names replace in `base`; `spec` and `degradation` are tables, of which
            single values are replaced.
        depths: what Fig. 2 varies, specs by the name to show.
        widths: see `depths`.
        backbones: see `tasks`.
        wide: what Table 6 replaces, once for each of `wide_rates`, learning rates relative to that
            of `base`.
        note: what a page has to say about the scale.
    """

    name: str
    note: str
    base: Recipe
    seeds: tuple[int, ...]
    tasks: Mapping[str, Mapping[str, Any]]
    backbones: Mapping[str, Mapping[str, Any]]
    depths: Mapping[str, Mapping[str, Any]]
    widths: Mapping[str, Mapping[str, Any]]
    wide: Mapping[str, Any]
    batches: tuple[int, ...]
    wide_rates: tuple[float, ...] = (1,)

    def recipe(
        self,
        norm: str = "i-ln",
        *,
        task: str = "sr",
        network: str = "",
        seed: int = 0,
        **changes: Any,
    ) -> Recipe:
        """The scale's recipe with a norm, task and network (the first of `backbones` if not
        named), and other values replaced by their names in `Recipe`; of a `spec`, single ones."""
        network = network or next(iter(self.backbones))
        found = self.base
        for table in (self.backbones[network], self.tasks[task], changes):
            found = _merge(found, table)
        return derive(found, {"norm": norm, "seed": seed})

    def arms(
        self, norms: Sequence[str] = ("ln", "i-ln"), **changes: Any
    ) -> dict[str, list[Recipe]]:
        """By norm, the recipe of every seed.

        Args:
            changes: as in `recipe`.
        """
        return {
            norm: [self.recipe(norm, seed=seed, **changes) for seed in self.seeds] for norm in norms
        }

    def with_steps(self, steps: int) -> Scale:
        """The same with runs of another length, schedules and logs along with it."""
        wide = {k: v for k, v in self.wide.items() if k not in ("steps", "milestones")}
        return replace(self, base=_timed(self.base, steps), wide=wide)


def _merge(recipe: Recipe, table: Mapping[str, Any]) -> Recipe:
    changes = dict(table)
    if "spec" in changes:
        changes["spec"] = {**recipe.spec, **changes["spec"]}
    return derive(recipe, changes)


def _timed(recipe: Recipe, steps: int) -> Recipe:
    """The rate is halved after five sixths of the steps, as in the paper's 300,000."""
    changes = {
        "steps": steps,
        "milestones": [max(1, steps * 5 // 6)],
        "log_every": max(1, steps // 40),
        "validate_every": steps,
        "save_every": max(1, min(5_000, steps // 5)),
        "dynamics": {"every": max(1, steps // 40)},
    }
    return derive(recipe, changes)


_SAME_SIZE: dict[str, Any] = {"scale": 1, "spec": {"upsampler": ""}}
_PATCHES = ("Set5", "Set14", "BSD100")


def _mini() -> Scale:
    base = Recipe(
        backbone="swinir-light-x4",
        spec={"embed_dim": 32, "depths": [4, 4], "num_heads": [4, 4], "input_stats": STATS},
        scale=4,
        data=RESEARCH,
        validation=tuple(map(Path, _PATCHES)),
        patch=24,
        batch=8,
        steps=1_000,
        lr=4e-3,
        schedule="multistep",
        milestones=(833,),
        warmup=0,
        ema=0.99,
        precision="fp32",
        tensorboard=False,
        threads=1,
    )
    hat = {"depths": [3, 3], "num_heads": [4, 4], "compress_ratio": 6, "squeeze_factor": 6}
    drct = {"depths": [1, 1], "num_heads": [4, 4], "growth": 8}
    same = {**_SAME_SIZE, "validation": ["Set14"]}
    return Scale(
        name="mini",
        note=(
            "Where nothing else is said: SwinIR with 8 blocks of 32 channels (0.1 million "
            "parameters), 8 crops of 24x24 input pixels a step, Adam 4e-3 (halved after five "
            "sixths of the steps, no warm-up), L1 loss, average of the weights over about 100 "
            "steps, float32. Training pictures: OpenPhotos and BSDS500 without `val`. Same-size "
            "tasks are scored on Set14, damaged with fixed seeds."
        ),
        base=_timed(base, 1_000),
        seeds=(0, 1, 2),
        tasks={
            "sr": {},
            "denoise": {**same, "task": "denoise", "degradation": {"sigma": 25}},
            "derain": {**same, "task": "derain"},
            "jpeg": {**same, "task": "jpeg", "degradation": {"quality": 10}},
        },
        backbones=_small_backbones(hat, drct, {"window": 8, "embed_dim": 24}),
        depths={
            "4 blocks": {"depths": [2, 2]},
            "8 blocks": {},
            "16 blocks": {"depths": [4, 4, 4, 4], "num_heads": [4, 4, 4, 4]},
        },
        widths={
            "16 channels": {"embed_dim": 16},
            "32 channels": {},
            "48 channels": {"embed_dim": 48},
        },
        wide={"spec": {"embed_dim": 96, "num_heads": [6, 6]}},
        batches=(2, 4, 8),
        wide_rates=(1, 1 / 4),  # at the first one i-LN does not learn
    )


def _small_backbones(
    hat: Mapping[str, Any], drct: Mapping[str, Any], both: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    both = {"upsampler": "pixelshuffledirect", **both}
    return {
        "SwinIR": {},
        "HAT": {"backbone": "hat-mini-x4", "spec": {**both, **hat}},
        "DRCT": {"backbone": "drct-x4", "spec": {**both, **drct}},
    }


def _smoke() -> Scale:
    mini = _mini()
    tiny = {"embed_dim": 8, "depths": [2], "num_heads": [2], "window": 4}
    base = _merge(mini.base, {"spec": tiny, "patch": 8, "batch": 4, "data": ["Drawn"]})
    base = _merge(base, {"validation": ["DrawnTest"]})
    hat = {"depths": [1], "num_heads": [2], "compress_ratio": 4, "squeeze_factor": 4}
    drct = {"depths": [1], "num_heads": [2], "growth": 4}
    same = {"validation": ["DrawnTest"]}
    return Scale(
        name="smoke",
        note="A test that everything runs, on pictures drawn by the program. Numbers mean nothing.",
        base=_timed(base, 4),
        seeds=(0, 1),
        tasks={name: {**task, **(same if task else {})} for name, task in mini.tasks.items()},
        backbones=_small_backbones(hat, drct, {"window": 4, "embed_dim": 8}),
        depths={"1 block": {"depths": [1]}, "2 blocks": {}},
        widths={"8 channels": {}, "16 channels": {"embed_dim": 16}},
        wide={"spec": {"embed_dim": 16}},
        batches=(2, 4),
        wide_rates=mini.wide_rates,
    )


def _paper() -> Scale:
    base = derive(
        hat1_x4(),
        {
            "validation": ["Set14", "BSD100", "Urban100", "Manga109"],
            "tensorboard": False,
        },
    )
    swinir = {"embed_dim": 96, "depths": [6] * 6, "num_heads": [6] * 6, "window": 16}
    colour = {**_SAME_SIZE, "validation": ["CBSD68", "Urban100"]}
    full = {
        "backbone": "hat-x2",
        "scale": 2,
        "validation": ["Set5", "Set14", "BSD100", "Urban100", "Manga109"],
        "patch": 64,
        "batch": 8,
        "steps": 500_000,
        "milestones": [250_000, 400_000, 450_000, 475_000],
    }
    return Scale(
        name="paper",
        note=(
            "The official settings: 300,000 steps of 16 crops, Adam 2e-4 halved at 250,000, DF2K "
            "(deraining: Rain13K), drop path 0.1. What the paper calls SwinIR1 and DRCT1 is not "
            "specified there; here they have HAT1's width, window and number of blocks."
        ),
        base=_timed(base, 300_000),
        seeds=(0, 1, 2),
        tasks={
            "sr": {},
            "denoise": {**colour, "task": "denoise", "degradation": {"sigma": 15}},
            "derain": {
                **_SAME_SIZE,
                "task": "derain",
                "data": ["Rain13K"],
                "validation": ["Rain100L", "Test100"],
            },
            "jpeg": {**colour, "task": "jpeg", "degradation": {"quality": 10}},
        },
        backbones={
            "HAT": {},
            "SwinIR": {"backbone": "swinir-x4", "spec": swinir},
            "DRCT": {"backbone": "drct-x4", "spec": {"embed_dim": 96}},
        },
        depths={
            "18 blocks": {"depths": [6] * 3, "num_heads": [6] * 3},
            "36 blocks": {},
            "72 blocks": {"depths": [6] * 12, "num_heads": [6] * 12},
        },
        widths={
            "48 channels": {"embed_dim": 48},
            "96 channels": {},
            "180 channels": {"embed_dim": 180},
        },
        wide=full,
        batches=(2, 4, 8),
    )


SCALES = {"smoke": _smoke, "mini": _mini, "paper": _paper}


def scale_of(name: str) -> Scale:
    """A scale by its name. Raises InputError naming the nearest."""
    if name not in SCALES:
        raise InputError(f"no scale {name!r}; {nearest(name, SCALES)}")
    return SCALES[name]()
