"""ExecuTorch programs, for phones: XNNPACK computes what it can, portable kernels the rest."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.export import ExportedProgram

from iln.checkpoints.files import OUR_KEY
from iln.extras import need


def executorch_bytes(program: ExportedProgram, card: dict[str, Any]) -> bytes:
    """The content of a .pte file: method `forward`, and the card as what the method `iln` returns.

    Args:
        program: of a fixed size.

    Raises:
        InputError: where executorch is missing.
    """
    need("executorch.exir", "executorch")
    with _quietly():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        lowered = to_edge_transform_and_lower(
            program,
            partitioner=[XnnpackPartitioner()],
            constant_methods={OUR_KEY: json.dumps(card)},
        )
        return bytes(lowered.to_executorch().buffer)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without its notes on optional parts, which these networks have no use for."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
