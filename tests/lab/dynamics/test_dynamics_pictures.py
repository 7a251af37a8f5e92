"""What the pictures show is what was measured: each one's axes hold the right numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from watched import SMALL, picture, small

import iln
from iln.errors import InputError
from iln.lab.dynamics import (
    Alignment,
    alignment,
    bias_grids,
    draw_alignment,
    draw_position_bias,
    draw_token_maps,
    draw_training,
    read_history,
    roughness,
    token_maps,
    write_png,
)


def written(run: Path, factor: float, blocks: tuple[str, ...] = ("a", "b")) -> Path:
    """A log with two blocks, whose numbers are known, among lines of other kinds."""
    run.mkdir()
    lines: list[Any] = [{"step": 1, "loss": 0.5}]
    for step in (1, 10, 100):
        values = {
            name: {"mean_square": factor * step * (i + 1), "entropy": None if i else 2.0}
            for i, name in enumerate(blocks)
        }
        lines.append({"step": step, "dynamics": values})
    text = "\n".join(json.dumps(line) for line in lines)
    (run / "log.jsonl").write_text(text + '\n{"step": 110, "dyna')
    return run


def test_history(tmp_path: Path) -> None:
    history = read_history(written(tmp_path / "run", 2.0))
    assert history.steps.tolist() == [1, 10, 100]
    assert history.blocks == ("a", "b")
    assert history.values["mean_square"].tolist() == [[2, 4], [20, 40], [200, 400]]
    assert np.isnan(history.values["entropy"]).tolist() == [[False, True]] * 3
    assert np.isnan(history.values["kurtosis"]).all()


def test_lines_of_another_loop_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    run = written(tmp_path / "run", 2.0)
    text = (run / "log.jsonl").read_text()
    others: list[object] = [{"a": {}}, [1], None, {}, {"a": 1}]
    lines = [json.dumps({"step": 7, "dynamics": other}) for other in others[1:]]
    lines += [json.dumps({"dynamics": others[0]}), json.dumps({"step": "x", "dynamics": others[0]})]
    (run / "log.jsonl").write_text("\n".join([*lines, text]))
    assert read_history(run).steps.tolist() == [1, 10, 100]
    (run / "log.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match="says nothing about blocks"):
        read_history(run)


def test_training_curves(tmp_path: Path) -> None:
    runs = {"LN": written(tmp_path / "ln", 3.0), "i-LN": written(tmp_path / "iln", 1.0)}
    figure = draw_training(runs)
    magnitude, entropy = figure.axes
    assert [axis.get_xscale() for axis in figure.axes] == ["log", "log"]
    assert (magnitude.get_yscale(), entropy.get_yscale()) == ("log", "linear")
    drawn = [line.get_ydata().tolist() for line in magnitude.lines]
    assert drawn == [[3, 30, 300], [6, 60, 600], [1, 10, 100], [2, 20, 200]]
    assert magnitude.lines[0].get_xdata().tolist() == [1, 10, 100]
    assert len({line.get_color() for line in magnitude.lines}) == 4
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["LN", "i-LN"]


def test_training_curves_that_cannot_be_drawn(tmp_path: Path) -> None:
    run = written(tmp_path / "run", 1.0)
    with pytest.raises(InputError, match="no measure 'size'"):
        draw_training({"run": run}, ("size",))
    with pytest.raises(InputError, match="7 runs"):
        draw_training({str(i): run for i in range(7)})
    with pytest.raises(InputError, match="no run's folder"):
        read_history(tmp_path / "nothing")
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 1}\n3\n')
    with pytest.raises(InputError, match=r"dynamics\.every"):
        read_history(tmp_path)


@pytest.mark.parametrize("norm", ["ln", "i-ln"])
def test_alignment_is_that_of_the_map_before_the_last_norm(norm: str) -> None:
    model = small(norm=norm)
    seen: list[torch.Tensor] = []
    model.layers[-1].register_forward_hook(lambda m, i, y: seen.append(y.detach().double()))
    bias = model.norm.bias if norm == "ln" else model.norm.beta
    bias.data.copy_(torch.linspace(-1, 1, 12))
    found = alignment(model, picture(2))
    magnitude = seen[0].square().mean((0, 1, 2)).sqrt()
    assert found.magnitude == pytest.approx(magnitude.numpy(), rel=1e-12)
    assert found.bias == pytest.approx(np.linspace(-1, 1, 12), rel=1e-6)


def test_correlations_by_hand() -> None:
    found = Alignment(np.array([1.0, 2.0, 3.0, 100.0]), np.array([-0.1, 0.2, -0.2, 9.0]))
    expected = np.corrcoef([0.1, 0.2, 0.2, 9.0], found.magnitude)[0, 1]
    assert found.correlation == pytest.approx(expected, rel=1e-12)
    ranks = np.corrcoef([0, 1.5, 1.5, 3], [0, 1, 2, 3])[0, 1]
    assert found.rank_correlation == pytest.approx(ranks, rel=1e-12)
    assert math.isnan(Alignment(np.arange(3.0), np.zeros(3)).correlation)
    axes = draw_alignment({"net": found}).axes[0]
    points = axes.collections[0].get_offsets()
    assert np.asarray(points).tolist() == [[1, 0.1], [2, 0.2], [3, 0.2], [100, 9]]
    assert f"r = {expected:.2f}" in axes.texts[0].get_text()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_alignment_of_a_bias_that_is_not_finite(value: float) -> None:
    model = small()
    model.norm.beta.data.fill_(value)
    figure = draw_alignment({"broken": alignment(model, picture())})
    assert len(figure.axes) == 1


def test_alignment_without_a_bias() -> None:
    with pytest.raises(InputError, match="'rms' has no bias"):
        alignment(small(norm="rms"), picture())


def test_token_maps_of_cells_are_without_padding() -> None:
    fields = {"embed_dim": 12, "depths": (1,), "num_heads": (2,), "window": 4, "unshuffle": 2}
    model = iln.build("swinir-denoise", "i-ln", **fields).eval()  # type: ignore[arg-type]
    (maps,) = token_maps(model, torch.rand(1, 3, 10, 11)).values()
    assert maps.sigma.shape == maps.energy.shape == (5, 6)


def test_token_maps() -> None:
    model, image = small(), picture()
    names = list(model.blocks())
    seen: list[torch.Tensor] = []
    model.blocks()[names[-1]].register_forward_hook(lambda m, i, y: seen.append(y.double()))
    maps = token_maps(model, image)
    assert list(maps) == [names[0], names[1], names[2]]
    last = seen[0][0, :13, :17].detach()
    assert maps[names[-1]].sigma == pytest.approx(last.std(2, correction=0).numpy(), rel=1e-12)
    assert maps[names[-1]].energy == pytest.approx(last.square().mean(2).numpy(), rel=1e-12)
    assert all(not module._forward_hooks for n, module in model.blocks().items() if n != names[-1])

    figure = draw_token_maps(image, {names[-1]: maps[names[-1]]})
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(shown[0], image[0].permute(1, 2, 0).numpy())
    assert np.array_equal(shown[1], maps[names[-1]].sigma)
    assert np.array_equal(shown[2], maps[names[-1]].energy)

    with pytest.raises(InputError, match="2 pictures"):
        token_maps(model, picture(2))
    with pytest.raises(InputError, match="no block 'layers'"):
        token_maps(model, image, ["layers"])


@pytest.mark.parametrize("preset", SMALL)
def test_position_bias_is_what_a_score_gets(preset: str) -> None:
    model = small(preset)
    for name, grid in bias_grids(model).items():
        block = model.get_submodule(name)
        holder = getattr(block, "attn", block)
        table = holder.relative_position_bias_table.detach().double()
        index = holder.relative_position_index
        window, keys = (math.isqrt(side) for side in index.shape)
        assert (window, keys) == ((4, 6) if "overlap" in name else (4, 4))
        assert grid.shape == (table.shape[1], window + keys - 1, window + keys - 1)
        margin, middle = (keys - window) // 2, (window + keys - 1) // 2
        for qy, qx, ky, kx in ((0, 0, 0, 0), (3, 1, 0, 3), (0, 2, keys - 1, 1), (3, 3, 0, 0)):
            row = index[qy * window + qx, ky * keys + kx]
            entry = grid[:, ky - margin - qy + middle, kx - margin - qx + middle]
            assert torch.equal(entry, table[row])
        # Every row of the table has one place in the picture.
        assert torch.equal(grid.flatten(1).sort(1).values, table.T.sort(1).values)


def test_roughness() -> None:
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert roughness(checks).item() == pytest.approx(math.sqrt(math.pi), rel=1e-12)
    noise = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(0))
    assert roughness(noise).tolist() == pytest.approx([1, 1], abs=0.02)
    x = torch.linspace(-3, 3, 31)
    smooth = torch.exp(-(x[:, None] ** 2) - x[None] ** 2)
    assert roughness(smooth).item() < 0.4
    assert roughness(smooth * 1e6 - 5).item() == pytest.approx(roughness(smooth).item(), rel=1e-5)
    assert roughness(torch.full((3, 3), 0.1)).item() == 0


def test_position_bias_heat_maps() -> None:
    one, other = small(norm="ln"), small()
    name = list(one.blocks())[-1]
    models: dict[str, nn.Module] = {"LN": one, "i-LN": other}
    figure = draw_position_bias(models, name)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * 3
    grid = bias_grids(one)[name]
    assert np.allclose(panels[0].images[0].get_array(), (grid[0] - grid[0].mean()).numpy())
    assert panels[0].get_xlabel() == f"roughness {roughness(grid)[0].item():.2f}"
    assert panels[0].images[0].get_extent() == [-3.5, 3.5, 3.5, -3.5]
    with pytest.raises(InputError, match="no block"):
        draw_position_bias(models, "layers.9")


def test_png(tmp_path: Path) -> None:
    figure = draw_alignment({"net": alignment(small(), picture())})
    write_png(figure, tmp_path / "dots.png")
    with Image.open(tmp_path / "dots.png") as image:
        assert image.format == "PNG"
        assert image.width == 4.6 * 150
    with pytest.raises(InputError, match="exists already"):
        write_png(figure, tmp_path / "dots.png")
    write_png(figure, tmp_path / "dots.png", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["dots.png"]


def test_matplotlib_waits_and_keeps_its_settings(tmp_path: Path) -> None:
    code = (
        "import sys, numpy\n"
        "from iln.lab.dynamics import Alignment, draw_alignment, write_png\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib\n"
        "# Items as they are: asking by name would choose a backend, and import it.\n"
        "before = dict(dict.items(matplotlib.rcParams))\n"
        "found = Alignment(numpy.arange(1.0, 4.0), numpy.ones(3))\n"
        f"write_png(draw_alignment({{'a': found}}), {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert dict(dict.items(matplotlib.rcParams)) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
