"""`python -m iln.training RECIPE key=value ... --run DIR`, or `--run DIR --resume`.

Exit codes: 0 all steps done; 1 the loss was no longer finite; 2 something given cannot be used;
3 stopped by SIGINT or SIGTERM after saving, to be resumed.

On a computer that does other work too, set OMP_WAIT_POLICY=passive: by default threads that
wait for each other spin, and with more busy threads than cores a step can take ten times as long.
"""

import argparse
import sys
from pathlib import Path

from iln.errors import InputError
from iln.training.loop import train
from iln.training.recipe import load_recipe
from iln.training.recipes import RECIPES, recipe


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, and say in one line what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m iln.training",
        description="Train by a recipe, or resume a run.",
        epilog="Stop with Ctrl-C or SIGTERM: the step is finished, saved, and the exit code is 3.",
    )
    parser.add_argument("recipe", nargs="?", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values of the recipe")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    given = parser.parse_intermixed_args(arguments)
    try:
        if given.recipe is None and not given.resume:
            raise InputError(f"name a recipe ({', '.join(RECIPES)}) or say --resume")
        chosen = (
            load_recipe(given.run)
            if given.recipe is None
            else recipe(given.recipe, given.overrides)
        )
        return 0 if train(chosen, given.run, resume=given.resume) else 3
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except FloatingPointError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
