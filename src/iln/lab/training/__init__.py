"""Training: a recipe in, weights out; `train` is the loop, one function from top to bottom."""

from iln.lab.training.loop import check_run, train
from iln.lab.training.recipe import Recipe, load_recipe
from iln.lab.training.recipes import RECIPES, recipe

__all__ = ["RECIPES", "Recipe", "check_run", "load_recipe", "recipe", "train"]
