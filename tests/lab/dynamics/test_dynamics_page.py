"""docs/dynamics.md: what it shows runs, and the measures it lists exist."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from iln.lab.dynamics import BlockMeasures

PAGE = Path(__file__).parents[3] / "docs" / "dynamics.md"


def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    pictures = {"training.png", "tokens.png", "bias.png", "alignment.png"}
    assert pictures <= {file.name for file in tmp_path.iterdir()}


def test_its_table_lists_all_measures() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    known = [field.name for field in fields(BlockMeasures)]
    assert sorted(listed) == sorted(set(known) - {"tokens", "channels"})
