"""Existing checkpoints made safe for float16, without training."""

from iln.rescue.choose import Rescued, rescue
from iln.rescue.files import write_rescued
from iln.rescue.stream import divide_stream, exponents

__all__ = ["Rescued", "divide_stream", "exponents", "rescue", "write_rescued"]
