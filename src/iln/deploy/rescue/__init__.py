"""Existing checkpoints made safe for float16, without training."""

from iln.deploy.rescue.files import check_rescue_target, write_rescued
from iln.deploy.rescue.search import Rescued, rescue

__all__ = ["Rescued", "check_rescue_target", "rescue", "write_rescued"]
