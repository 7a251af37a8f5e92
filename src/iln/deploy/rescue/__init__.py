"""Existing checkpoints made safe for float16, without training."""

from iln.backbones.residual_stream import divide_stream, exponents
from iln.deploy.rescue.files import write_rescued
from iln.deploy.rescue.search import Rescued, rescue

__all__ = ["Rescued", "divide_stream", "exponents", "rescue", "write_rescued"]
