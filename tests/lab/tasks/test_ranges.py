from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from iln.lab.tasks import Range, generator
from iln.lab.tasks.ranges import Within


class Model(BaseModel):
    number: Annotated[Range, Within(0, 55)] = Range(0, 55)
    whole: Annotated[Range, Within(1, 100, whole=True)] = Range(5, 95)


@pytest.mark.parametrize(
    ("given", "range_"),
    [
        (25, Range(25, 25)),
        (2.5, Range(2.5, 2.5)),
        ([0, 55], Range(0, 55)),
        ((1.5, 3), Range(1.5, 3)),
        (Range(3, 4), Range(3, 4)),
    ],
)
def test_accepted(given: object, range_: Range) -> None:
    model = Model(number=given)
    assert model.number == range_
    assert Model.model_validate_json(model.model_dump_json()) == model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([30, 10], "the first number must not exceed the second"),
        (-1, "must be within 0..55"),
        ([10, 56], "must be within 0..55"),
        (float("nan"), "must be within 0..55"),
        ("10", "must be a number or two of them, \\[low, high\\]"),
        ([1, 2, 3], "must be a number or two of them"),
        ([], "must be a number or two of them"),
        (True, "must be a number"),
        (None, "must be a number"),
    ],
)
def test_refused(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Model(number=given)


def test_whole_numbers() -> None:
    with pytest.raises(ValidationError, match="must be a whole number or two of them"):
        Model(whole=10.5)
    draws = {Range(3, 5).draw_whole(generator(s)) for s in range(60)}
    assert draws == {3, 4, 5}
    assert Range(7, 7).draw_whole(generator(0)) == 7
    assert Range(1, 4).middle == Range(2, 2)


@given(low=st.floats(-1e6, 1e6), span=st.floats(0, 1e6), seed=st.integers(0, 1000))
def test_draws_lie_inside(low: float, span: float, seed: int) -> None:
    range_ = Range(low, low + span)
    assert range_.low <= range_.draw(generator(seed)) <= range_.high
    assert range_.low <= range_.middle.low <= range_.high


def test_named_values_inside_or_the_middle() -> None:
    levels = {"a": 15, "b": 25, "c": 50}
    assert Range(0, 30).fixed(levels) == {"a": Range(15, 15), "b": Range(25, 25)}
    assert Range(25, 25).fixed(levels) == {"b": Range(25, 25)}
    assert Range(30.0, 40.0).fixed(levels) == {"": Range(35, 35)}


def test_as_text() -> None:
    assert str(Range(0, 55)) == "0..55"
    assert str(Range(0.5, 0.5)) == "0.5"
