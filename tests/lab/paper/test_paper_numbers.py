"""How pages come to their numbers and verdicts."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from iln.errors import InputError
from iln.lab.paper.items.structure import distances, normalised, spread
from iln.lab.paper.page import Page
from iln.lab.paper.statistics import all_above, growth, last, over_blocks, score, show
from iln.lab.paper.store import Run


def run_with(tmp_path: Path, sizes: list[tuple[float, float]]) -> Run:
    """Of two blocks, mean squares at steps 10, 20, ..."""
    lines = [
        {"step": 10 * n, "dynamics": {"a": {"mean_square": a}, "b": {"mean_square": b}}}
        for n, (a, b) in enumerate(sizes, 1)
    ]
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(tmp_path)


def test_the_worst_block_and_its_growth(tmp_path: Path) -> None:
    run = run_with(tmp_path, [(1, 2), (3, 1), (4, 5), (9, 6)])
    assert over_blocks(run, "mean_square", "max") == [2, 3, 5, 9]
    assert over_blocks(run, "mean_square", "min") == [1, 1, 4, 6]
    assert last(run, "mean_square") == 9
    assert growth(run) == 9 / 2  # a quarter of 40 steps is step 10
    (tmp_path / "failure.txt").write_text("not finite")
    assert growth(run) == math.inf


def test_a_score_is_the_first_metric_of_the_last_step(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(
        '{"backbone": "swinir-light-x2", "scale": 2, "data": ["x"], "steps": 20}'
    )
    lines = [
        {"step": 10, "validation": "Set5", "psnr_y": 30.0, "ssim_y": 0.8},
        {"step": 20, "validation": "Set5", "psnr_y": 31.0, "ssim_y": 0.9},
        {"step": 20, "validation": "Set14 sigma 25", "psnr": 29.0},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert score(Run(tmp_path), "Set5") == 31.0
    assert score(Run(tmp_path), "Set14") == 29.0
    assert math.isnan(score(Run(tmp_path), "Set1"))


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        ([3, 4], [1, 2], True),
        ([1, 2], [3, 4], False),
        ([1, 3], [2, 4], None),
        ([2, 3], [1, 2], None),
        ([math.nan, 4], [1, 2], None),
        ([math.inf, 4], [1, 2], True),
        ([3, 4], [1, math.inf], None),
        ([], [1], None),
    ],
)
def test_above(ones: list[float], others: list[float], expected: bool | None) -> None:
    assert all_above(ones, others) is expected


def test_numbers_as_shown() -> None:
    assert show([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert show([1.0]) == "1.00"
    assert show([1234.5, 1234.5], None) == "1.23e+03"
    assert show([1.0, math.inf]) == "1.00 (1 of 2 failed)"
    assert show([math.nan]) == "–"


def test_structure_of_known_clouds() -> None:
    x = torch.rand(1, 6, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert spread(distances(x), distances(3 * x + 1)) < 1e-12
    assert spread(distances(x), distances(x.square())) > 0.05
    # By hand, for three tokens of two channels: LayerNorm sends all of them to (-1, 1).
    tokens = torch.tensor([[0.0, 1.0], [0.0, 2.0], [5.0, 9.0]], dtype=torch.float64)
    flat = normalised("ln", tokens.view(1, 1, 3, 2))
    assert torch.allclose(flat, torch.tensor([-1.0, 1.0], dtype=torch.float64), atol=1e-4)
    kept = normalised("i-ln", tokens.view(1, 1, 3, 2)).view(3, 2)
    assert torch.allclose(kept[2] - kept[0], tokens[2] - tokens[0])


def test_a_page(tmp_path: Path) -> None:
    page = Page(tmp_path / "deep" / "page", "A title", "what is shown")
    page.claim("up|down", True, "1 and 2")
    page.claim("never", False, "3")
    page.claim("who knows", None, "4")
    page.text("Words.")
    page.table("numbers", "Some numbers", ["name", "value"], [["a", 1 / 3], ["b", math.nan]])
    file = page.finish(["a line"])
    text = file.read_text()
    assert text.startswith("# A title\n\n**The paper:** what is shown\n")
    assert "| up&#124;down | yes | 1 and 2 |" in text
    assert "| never | **no** | 3 |" in text
    assert "| who knows | not decided | 4 |" in text
    assert "| a | 0.3333 |" in text
    assert "| b | – |" in text
    with (page.folder / "numbers.csv").open(newline="") as rows:
        assert list(csv.reader(rows)) == [["name", "value"], ["a", str(1 / 3)], ["b", ""]]
    with pytest.raises(InputError, match="not empty"):
        Page(page.folder, "Another", "x")
    Page(page.folder, "Another", "x", overwrite=True).finish([])
    assert file.read_text().startswith("# Another")
    with pytest.raises(InputError, match="is a file"):
        Page(file, "A title", "x")
