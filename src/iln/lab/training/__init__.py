"""Training: a recipe in, weights out; `train` is the loop, one function from top to bottom."""

from iln.lab.training.loop import train
from iln.lab.training.recipe import Recipe, load_recipe
from iln.lab.training.recipes import RECIPES, recipe
from iln.lab.training.run_folder import check_run

__all__ = ["RECIPES", "Recipe", "check_run", "load_recipe", "recipe", "train"]
