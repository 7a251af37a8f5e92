from pathlib import Path

import pytest
import torch

import iln
from iln.checkpoints.native import shipped
from iln.errors import InputError
from iln.lab.training import RECIPES, Recipe, recipe
from iln.lab.training.model import build_model


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
            "precision=fp32",
            "data=Set14",
            "data_root=/pictures",
            'validation=["Set5","/elsewhere/B"]',
            "spec.embed_dim=12",
            "spec.depths=[2,2]",
        ],
    )
    assert (made.steps, made.betas, made.precision) == (7, (0.5, 0.75), "fp32")
    assert made.folders(made.data) == [Path("/pictures/Set14")]
    assert made.folders(made.validation) == [Path("/pictures/Set5"), Path("/elsewhere/B")]
    assert made.spec == {"input_stats": "mean+std", "embed_dim": 12, "depths": [2, 2]}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stps=7"], "no 'stps'; did you mean steps"),
        (["dynamics.evry=7"], "there is no dynamics.evry"),
        (["spc.depth=7"], "no 'spc.depth'; did you mean spec"),
        (["steps"], "'steps' is not of the form key=value"),
        (["steps=soon"], "steps='soon'"),
        (["steps=0"], "steps=0"),
        (["ema=1.5"], "ema=1.5"),
        (["data=[]"], "data"),
        (["schedule=multistep"], "needs milestones"),
        (["spec=5", "spec.window=4"], "recipe spec=5: is a table; say spec.KEY=VALUE"),
        (["spec.norm=ln"], "spec.norm: is the recipe's; say norm="),
        (["degradation.scale=3"], "degradation.scale 3: is the recipe's; say scale="),
        (["threads=100000"], "less than or equal to 1024"),
        (["data="], "recipe data=: name a folder"),
        (["milestones=2"], "recipe: milestones=2: must be a list, such as [1, 2]"),
        (["milestones=[1,0]"], "recipe: milestones.1=0: must be greater than or equal to 1"),
        (["init=3"], "recipe: init=3: must be a valid string"),
        (["validation="], "recipe validation=: name a folder, or none by validation=[]"),
        (["schedule=multistp"], "'cosine' or 'multistep'"),
        (["milestones=[5,3]"], "must grow"),
        (["progressive=[[9,8,4],[3,8,4]]"], "growing steps"),
    ],
)
def test_bad_overrides_are_named_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe("sr-x2", overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted({*RECIPES} & {*shipped()}))
def test_a_recipe_goes_on_from_the_shipped_model_of_its_name(name: str) -> None:
    whole = iln.load(name)
    model = build_model(recipe(name, [f"init={name}"]), whole)
    assert model.spec == whole.spec
    for key, value in whole.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_a_shipped_model_counts_before_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "mine"):
        Path(name).touch()
    assert recipe("denoise", ["init=photo"]).init == "photo"
    assert recipe("denoise", ["init=mine"]).init == str(tmp_path / "mine")


def test_a_deeper_network_does_not_lose_blocks_in_silence() -> None:
    made = recipe("denoise", ["init=denoise", "spec.depths=[6,6,2,6]"])
    with pytest.raises(InputError, match=r"denoise does not fit .* spec.depths=\[6, 6, 6, 6\]"):
        build_model(made, iln.load("denoise"))


def test_another_task_begins_with_its_own_parameters() -> None:
    assert recipe("denoise", ["task=photo"]).degradation == {}
    assert recipe("denoise", ["degradation.prints=1", "task=photo"]).degradation == {"prints": 1}
    assert recipe("denoise", ["task=denoise"]).degradation == {"sigma": [0, 55]}


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean sr-x4"):
        recipe("srx4")


def test_learning_rate_by_hand(made: Recipe) -> None:
    recipe = made.model_copy(update={"lr": 2.0, "lr_end": 0.1, "warmup": 4, "steps": 104})
    assert [recipe.learning_rate(s) for s in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert recipe.learning_rate(4) == 2.0
    assert recipe.learning_rate(4 + 25) == pytest.approx(2 * (0.1 + 0.9 * (2 + 2**0.5) / 4))
    assert recipe.learning_rate(4 + 50) == pytest.approx(1.1)
    assert recipe.learning_rate(104) == pytest.approx(0.2)


def test_the_rate_of_the_official_recipes_halves_at_their_milestones() -> None:
    made = recipe("hat-x2")
    rates = [made.learning_rate(s) for s in (0, 249_999, 250_000, 400_000, 450_000, 499_999)]
    assert rates == [2e-4, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5]


def test_stages_of_growing_patches(made: Recipe) -> None:
    stages = ((10, 24, 4), (20, 32, 2))
    recipe = made.model_copy(update={"progressive": stages})
    assert [recipe.stage(s) for s in (0, 9, 10, 19, 20, 59)] == [
        (12, 4),
        (12, 4),
        (24, 4),
        (24, 4),
        (32, 2),
        (32, 2),
    ]
    assert recipe.batches() == {4, 2}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_describes_a_network(name: str) -> None:
    """Built on no device, so that the full HAT costs nothing."""
    with torch.device("meta"):
        model = build_model(recipe(name))
    assert model.spec.scale == recipe(name).scale


def test_the_official_settings() -> None:
    hat1, baseline, full = (recipe(name) for name in ("hat1-x4", "hat1-x4-ln", "hat-x4"))
    assert (hat1.norm, hat1.batch, hat1.patch, hat1.steps) == ("i-ln", 16, 32, 300_000)
    assert hat1.spec == {"input_stats": "mean+std", "drop_path": 0.1}
    names = ("hat1-x2", "hat1-x4-ln", "hat-x2", "swinir-light-x2", "swinir-light-x4")
    assert {recipe(name).precision for name in names} == {hat1.precision} == {"fp32"}
    assert (baseline.norm, baseline.spec["input_stats"]) == ("ln", "mean")
    assert (full.backbone, full.batch, full.patch) == ("hat-x4", 32, 64)
    assert (full.lr, full.steps) == (1e-4, 250_000)
    assert full.milestones == (125_000, 200_000, 225_000, 240_000)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_correction_is_repeated_where_the_network_enlarges(scale: int) -> None:
    small = iln.load("photo").eval()
    large = build_model(recipe("photo", [f"scale={scale}"]), small).eval()
    image = torch.rand(1, 3, 17, 21, generator=torch.manual_seed(0))
    with torch.no_grad():
        expected = small(image).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        torch.testing.assert_close(large(image), expected, rtol=0, atol=1e-6)
