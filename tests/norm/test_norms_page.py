"""docs/norms.md: what it shows runs, and what it lists exists."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from iln.norm import NORMS

PAGE = Path(__file__).parents[2] / "docs" / "norms.md"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's Python blocks define, run one after another in one namespace."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_block_follows_brightness(names: dict[str, Any]) -> None:
    block = names["block"].double()
    x = names["features"].double()
    assert block(x).shape == x.shape
    for norm in (block.norm1, block.norm2):
        norm.eps = 1e-15
    torch.testing.assert_close(block(7 * x - 3), 7 * block(x) - 3)


def test_the_block_keeps_half_precision(names: dict[str, Any]) -> None:
    block = names["Block"](8, 2).to(torch.bfloat16)
    assert block(torch.randn(1, 2, 3, 8).bfloat16()).dtype == torch.bfloat16


def test_the_converted_network(names: dict[str, Any]) -> None:
    assert names["old"].spec.norm == "ln"
    assert names["calm"].spec.norm == names["model"].spec.norm == "i-ln"


def test_the_table_lists_the_nine_schemes() -> None:
    rows = re.findall(r"^\| `(\S+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == list(NORMS)
