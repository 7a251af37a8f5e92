"""Restoring pictures: whole-image exact, in bounded memory."""

from iln.restoration.memory import parse_bytes
from iln.restoration.pipeline import Pipeline, restore
from iln.restoration.restorer import PRECISIONS, Restorer

__all__ = ["PRECISIONS", "Pipeline", "Restorer", "parse_bytes", "restore"]
