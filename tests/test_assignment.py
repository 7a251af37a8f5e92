"""`key=value` on the command line."""

from typing import Any

import pytest

from iln.assignment import parse_assignment
from iln.errors import InputError


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("steps=100", "steps", 100),
        ("lr=1e-3", "lr", 1e-3),
        ("sigma=15,50", "sigma", [15, 50]),
        ("betas=[0.9,0.95]", "betas", [0.9, 0.95]),
        ("subsampling=4:2:0", "subsampling", "4:2:0"),
        ("data=my,own", "data", "my,own"),
        ("init=null", "init", None),
        ("name=a=b", "name", "a=b"),
        ("upsampler=", "upsampler", ""),
        ("gray=true", "gray", True),
        ("sigma=" + "9" * 5000, "sigma", "9" * 5000),  # too long a number for Python
        ("a=" + "[" * 100_000, "a", "[" * 100_000),
    ],
)
def test_values(word: str, key: str, value: Any) -> None:
    assert parse_assignment(word) == (key, value)


@pytest.mark.parametrize("word", ["", "steps", "=3"])
def test_no_assignment(word: str) -> None:
    with pytest.raises(InputError, match="is not of the form key=value"):
        parse_assignment(word)
