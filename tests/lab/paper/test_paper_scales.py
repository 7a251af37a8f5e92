"""The recipes behind the paper's experiments."""

import pytest

from iln.errors import InputError
from iln.lab.paper import ITEMS, SCALES, scale_of
from iln.lab.training.model import build_model
from iln.lab.training.recipes import hat1_x4, hat_x2
from iln.norm import NORMS


@pytest.mark.parametrize("name", ["smoke", "mini"])
def test_every_recipe_of_every_item_makes_a_network(name: str) -> None:
    scale = scale_of(name)
    for item in ITEMS.values():
        for recipe in item.recipes(scale):
            build_model(recipe.model_copy(update={"seed": 0}))


def test_the_networks_of_the_mini_scale_are_small() -> None:
    scale = scale_of("mini")
    sizes = {
        (task, backbone): sum(
            p.numel() for p in build_model(scale.recipe(task=task, network=backbone)).parameters()
        )
        for task in scale.tasks
        for backbone in scale.backbones
    }
    assert all(70_000 < size < 160_000 for size in sizes.values()), sizes


@pytest.mark.parametrize("name", SCALES)
def test_norms_are_compared_with_the_same_input_statistics(name: str) -> None:
    scale = scale_of(name)
    for item in ITEMS.values():
        stats = {recipe.spec["input_stats"] for recipe in item.recipes(scale)}
        assert stats == {"mean+std"}, item.names


def test_arms_differ_in_their_norm_alone() -> None:
    scale = scale_of("mini")
    recipes = [scale.recipe(norm).model_dump() for norm in NORMS]
    assert [recipe.pop("norm") for recipe in recipes] == list(NORMS)
    assert all(recipe == recipes[0] for recipe in recipes)


def test_the_paper_scale_has_the_official_settings() -> None:
    scale = scale_of("paper")
    kept = ("lr", "betas", "steps", "milestones", "patch", "batch", "ema", "spec", "data", "clip")
    base, official = scale.recipe("i-ln"), hat1_x4()
    assert {k: getattr(base, k) for k in kept} == {k: getattr(official, k) for k in kept}
    wide, official = scale.recipe("i-ln", **scale.wide), hat_x2()
    assert {k: getattr(wide, k) for k in kept} == {k: getattr(official, k) for k in kept}


def test_another_length_moves_the_schedule_along() -> None:
    base = scale_of("paper").with_steps(600).recipe("ln", **scale_of("paper").with_steps(600).wide)
    assert (base.steps, base.milestones, base.validate_every) == (600, (500,), 600)
    assert base.dynamics.every == 15


def test_a_batch_size_is_the_base_where_it_is_the_same() -> None:
    scale = scale_of("mini")
    assert scale.recipe("ln", batch=8) == scale.recipe("ln")


def test_an_unknown_scale_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean mini"):
        scale_of("minni")
