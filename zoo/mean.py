"""The weighted mean of the weights of two networks, of which one was trained on from the other.

    python zoo/mean.py BEFORE AFTER -o FILE [--share 0.5]

It keeps most of what each does well (docs/results/search.md), costs no training, and says of itself
what AFTER says, and the share.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import iln
from iln.checkpoints.native import describe
from iln.errors import InputError
from iln.script import run_script


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="a shipped model, or a file")
    parser.add_argument("after", help="the same")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of AFTER, from 0 to 1")
    given = parser.parse_args()
    if not 0 <= given.share <= 1:
        raise InputError(f"share {given.share:g}: must be from 0 to 1")
    before, after = iln.load(given.before), iln.load(given.after)
    if before.spec != after.spec:
        raise InputError(f"{given.before} and {given.after} are networks of other shapes")
    with torch.no_grad():
        for one, other in zip(before.parameters(), after.parameters(), strict=True):
            one.lerp_(other, given.share)
    said = describe(given.after)
    training = {**(said["training"] or {}), "share_of_mean_with_init": given.share}
    iln.save(before, given.output, task=said["task"], training=training)
    return 0


if __name__ == "__main__":
    run_script(main)
