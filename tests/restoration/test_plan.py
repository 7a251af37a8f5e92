"""What a memory budget decides, and whether the maps are as large as the plan thinks."""

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_models import SPECS, photo, small_model, small_spec
from torch import Tensor

import iln
from iln.backbones import PRESETS
from iln.errors import InputError
from iln.layers.forward_pass import Strips
from iln.restoration import plan as planning
from iln.restoration.plan import make_plan

MiB = 2**20
SOME = ["swinir-light-x2", "swinir-x8", "swinir-jpeg", "swinir-real-x4", "hat-mini-x4", "drct-x4"]


def budgets(preset: str) -> list[int]:
    needed = make_plan(PRESETS[preset], 333, 777, None, 4).peak
    return [needed * share // 64 for share in range(0, 80)]


@pytest.mark.parametrize("preset", SOME)
def test_a_larger_budget_is_never_a_slower_plan(preset: str) -> None:
    spec = PRESETS[preset]
    plans = [make_plan(spec, 333, 777, budget, 4) for budget in budgets(preset)]
    for small, large in itertools.pairwise(plans):
        assert large.on_disk <= small.on_disk
        if large.on_disk == small.on_disk:
            assert large.rows >= small.rows
    assert plans[0].on_disk and not plans[-1].on_disk
    assert plans[-1] == make_plan(spec, 333, 777, None, 4)


@pytest.mark.parametrize("preset", SOME)
def test_strips_are_whole_windows(preset: str) -> None:
    spec = PRESETS[preset]
    for budget in [*budgets(preset), None, -(10**12)]:
        plan = make_plan(spec, 333, 777, budget, 4)
        assert plan.rows >= spec.window
        assert plan.rows % spec.window == 0


@pytest.mark.parametrize("preset", SOME)
def test_a_plan_keeps_its_budget_if_that_is_possible_at_all(preset: str) -> None:
    spec = PRESETS[preset]
    least = make_plan(spec, 333, 777, 0, 4).peak
    for budget in budgets(preset):
        assert make_plan(spec, 333, 777, budget, 4).peak <= max(budget, least)


def test_disk_only_where_memory_is_short() -> None:
    spec = PRESETS["swinir-light-x2"]
    enough = make_plan(spec, 1080, 1920, 4 * 1024 * MiB, 4)
    short = make_plan(spec, 1080, 1920, 1024 * MiB, 4)
    assert not enough.on_disk
    assert short.on_disk
    assert short.peak <= 1024 * MiB
    # Half the size of the numbers is half the size of the maps.
    assert not make_plan(spec, 1080, 1920, 1200 * MiB, 2).on_disk


def test_a_device_without_disk_refuses() -> None:
    with pytest.raises(InputError, match=r"1920 x 1080 .* GiB .* --device cpu"):
        make_plan(PRESETS["swinir-light-x2"], 1080, 1920, 1024 * MiB, 4, disk=False)
    plan = make_plan(PRESETS["swinir-light-x2"], 1080, 1920, None, 4, disk=False)
    assert not plan.on_disk


class Counted:
    """Allocates maps and knows how many bytes of them are alive."""

    def __init__(self) -> None:
        self.live = self.peak = 0

    def __call__(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
        like = torch.empty(0, dtype=dtype).numpy().dtype
        array = np.empty(tuple(shape), like)  # lives as long as the tensor's storage
        self.live += array.nbytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(array, self._gone, array.nbytes)
        return torch.from_numpy(array)

    def _gone(self, size: int) -> None:
        self.live -= size


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("norm", ["none", "ln", "i-ln"])
@pytest.mark.parametrize("backbone", SPECS)
def test_map_channels_are_those_of_a_real_forward(backbone: str, norm: str, groups: int) -> None:
    spec = small_spec(backbone, norm, embed_dim=24, depths=(2,) * groups, num_heads=(2,) * groups)
    counted = Counted()
    with torch.inference_mode():
        small_model(spec)(torch.rand(1, 3, 16, 20), Strips(4, allocate=counted))
    predicted = 16 * 20 * spec.map_channels() * 4
    assert 0.85 * predicted <= counted.peak <= predicted


@pytest.mark.parametrize("size", [(16, 20), (15, 17)])
@pytest.mark.parametrize(
    "changes", [*({"scale": s} for s in (1, 2, 3, 4)), {"upsampler": ""}], ids=str
)
@pytest.mark.parametrize("backbone", SPECS)
def test_the_plan_counts_all_that_is_mapped(
    backbone: str, changes: dict[str, Any], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec(backbone, **changes, embed_dim=48)
    counted = Counted()
    monkeypatch.setattr("iln.restoration.restorer.DiskMaps", lambda: counted)
    monkeypatch.setattr(planning, "STRIP", 1)
    monkeypatch.setattr(type(spec), "windows_of_a_strip", 1)
    image = (255 * photo(*size)).astype(np.uint8)
    result = iln.Restorer(small_model(spec), memory="1MB", device="cpu")(image)
    # With strips of equal size, only the maps make the difference.
    in_memory, on_disk = (make_plan(spec, *size, budget, 4) for budget in (None, 0))
    assert in_memory.rows == on_disk.rows == 4
    predicted = in_memory.peak - on_disk.peak
    # Not all maps are there when the result is, so this bound is less tight.
    assert 0.7 * predicted <= counted.peak <= predicted
    assert counted.live == result.nbytes  # the result itself, and nothing else


@pytest.mark.parametrize("preset", SOME)
def test_predictions_grow_with_the_picture(preset: str) -> None:
    spec: Any = PRESETS[preset]
    peaks = [make_plan(spec, side, side, None, 4).peak for side in (1, 64, 200, 1000)]
    assert peaks == sorted(peaks)
    wider = replace(spec, embed_dim=2 * spec.embed_dim)
    assert wider.map_channels() > spec.map_channels()
