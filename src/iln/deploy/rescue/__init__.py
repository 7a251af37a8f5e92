"""Existing checkpoints made safe for float16, without training."""

from iln.deploy.rescue.files import write_rescued
from iln.deploy.rescue.search import Rescued, rescue

__all__ = ["Rescued", "rescue", "write_rescued"]
