"""An observed training is the training, and what is told of it is true."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from watched import picture, small

from iln.backbones import Backbone
from iln.lab.dynamics import BlockMeasures, Observer, Probe, as_json, scalars

Seen = dict[int, dict[str, BlockMeasures]]


def training(model: Backbone, every: int, steps: int = 5, image: Tensor | None = None) -> Seen:
    seen: Seen = {}
    observer = Observer(model, every, seen.__setitem__)
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    image = picture(2) if image is None else image
    for step in range(1, steps + 1):
        torch.manual_seed(step)
        adam.zero_grad()
        model(image).square().mean().backward()
        observer.before_update(step, image)
        adam.step()
        observer.after_update()
    return seen


@pytest.mark.parametrize("norm", ["i-ln", "ln", "bn"])
def test_no_bit_of_a_training_changes(norm: str) -> None:
    states = []
    for every in (0, 1):
        model = small(norm=norm, drop_path=0.3).train()
        training(model, every)
        states.append([*model.state_dict().values(), torch.get_rng_state()])
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_which_steps() -> None:
    assert list(training(small(), every=2)) == [1, 2, 4]
    assert training(small(), every=0) == {}


def test_gradient_norm_and_update_ratio() -> None:
    model, image = small(), picture(2)
    seen: Seen = {}
    observer = Observer(model, 1, seen.__setitem__)
    rate = 0.1
    optimizer = torch.optim.SGD(model.parameters(), rate)
    model(image).square().mean().backward()
    expected = {}
    for name, block in model.blocks().items():
        gradient = torch.cat([p.grad.double().flatten() for p in block.parameters()])
        weights = torch.cat([p.detach().double().flatten() for p in block.parameters()])
        expected[name] = gradient.norm().item(), (rate * gradient.norm() / weights.norm()).item()
    with torch.no_grad(), Probe(model) as probe:
        model(image)
    observer.before_update(1, image)
    optimizer.step()
    observer.after_update()
    for name, found in seen[1].items():
        assert found.gradient_norm == pytest.approx(expected[name][0], rel=1e-9)
        assert found.update_ratio == pytest.approx(expected[name][1], rel=1e-4)
        assert found.mean_square == probe.measures[name].mean_square


def test_a_skipped_step_updates_nothing() -> None:
    model = small()
    seen: Seen = {}
    observer = Observer(model, 1, seen.__setitem__)
    model(picture()).sum().backward()
    next(iter(model.layers.parameters())).grad.fill_(torch.nan)
    observer.before_update(1, picture())
    observer.after_update()
    observer.after_update()  # of a step that is not observed
    assert all(found.update_ratio == 0 for found in seen[1].values())
    line = json.dumps(as_json(seen[1]), allow_nan=False)
    first = next(iter(model.blocks()))
    assert json.loads(line)[first]["gradient_norm"] is None


def test_huge_gradients_and_points_on_curves() -> None:
    model = small()
    seen: Seen = {}
    observer = Observer(model, 1, seen.__setitem__)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e30)
    observer.before_update(1, picture())
    observer.after_update()
    name, block = next(iter(model.blocks().items()))
    count = sum(p.numel() for p in block.parameters())
    points = scalars(seen[1])
    assert points[f"dynamics/gradient_norm/{name}"] == pytest.approx(1e30 * count**0.5, rel=1e-6)
    assert f"dynamics/tokens/{name}" not in points


def _process(rank: int, folder: str) -> None:
    """DDP's case: as many pictures in each process. Then FSDP's: shares of each parameter."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    seen: Seen = {}
    model, images = small(), picture(4)
    observer = Observer(model, 1, seen.__setitem__)
    model(images).square().mean().backward()
    observer.before_update(1, images[2 * rank : 2 * rank + 2])
    observer.after_update()
    found["pooled"] = as_json(seen[1])
    for every in (0, 1):
        model = small().double()
        for block in model.blocks().values():
            fully_shard(block)
        fully_shard(model)
        seen = training(model, every, image=images.double())
        weights = (p.detach() for p in model.parameters())
        found[f"weights {every}"] = [
            w.full_tensor() if isinstance(w, DTensor) else w for w in weights
        ]
    found["sharded"] = as_json(seen[5])
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
    dist.barrier()
    # FSDP's threads outlive its group, and one may abort a process that Python is ending.
    os._exit(0)


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    mp.spawn(_process, (str(tmp_path),), nprocs=2)
    found = torch.load(tmp_path / "found.pt")
    # No bit changes where the parameters are spread over processes.
    assert all(
        torch.equal(*pair) for pair in zip(found["weights 0"], found["weights 1"], strict=True)
    )

    def agree(one: dict[str, Any], other: dict[str, Any], tolerance: float) -> None:
        for name, block in one.items():
            for measure, value in block.items():
                expected = value and pytest.approx(value, rel=tolerance)
                assert other[name][measure] == expected, (name, measure)

    model = small()
    seen: Seen = {}
    observer = Observer(model, 1, seen.__setitem__)
    model(picture(4)).square().mean().backward()
    observer.before_update(1, picture(4))
    observer.after_update()
    agree(as_json(seen[1]), found["pooled"], 1e-5)

    alone = training(small().double(), 1, image=picture(4).double())
    expected = as_json(alone[5])
    for block in expected.values():
        block["tokens"] = 2 * (block["tokens"] or 0)  # both processes look at the same pictures
    agree(expected, found["sharded"], 1e-7)
