"""Restoring pictures: whole-image exact, in bounded memory."""

from iln.restoration.pipeline import Pipeline, restore
from iln.restoration.restorer import Restorer

__all__ = ["Pipeline", "Restorer", "restore"]
