from pathlib import Path

import pytest

from iln.errors import InputError
from iln.training import RECIPES, Recipe, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_survive_json(name: str) -> None:
    made = recipe(name)
    assert Recipe.model_validate_json(made.model_dump_json()) == made


def test_overrides_are_json_or_text() -> None:
    made = recipe(
        "sr-x2",
        [
            "steps=7",
            "betas=[0.5,0.75]",
            "amp=false",
            "data=Set14",
            "data_root=/pictures",
            'validation=["Set5","/elsewhere/B"]',
            "spec.embed_dim=12",
            "spec.depths=[2,2]",
        ],
    )
    assert (made.steps, made.betas, made.amp) == (7, (0.5, 0.75), False)
    assert made.folders(made.data) == [Path("/pictures/Set14")]
    assert made.folders(made.validation) == [Path("/pictures/Set5"), Path("/elsewhere/B")]
    assert made.spec == {"input_stats": "mean+std", "embed_dim": 12, "depths": [2, 2]}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stps=7"], "no 'stps'; did you mean steps"),
        (["spc.depth=7"], "no 'spc.depth'; did you mean spec"),
        (["steps"], "'steps' is not of the form key=value"),
        (["steps=soon"], "steps='soon'"),
        (["steps=0"], "steps=0"),
        (["ema=1.5"], "ema=1.5"),
        (["data=[]"], "data"),
    ],
)
def test_bad_overrides_are_named_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe("sr-x2", overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean sr-x4"):
        recipe("srx4")
