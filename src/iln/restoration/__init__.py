"""Restoring pictures: whole-image exact, in bounded memory."""

from iln.restoration.memory import parse_size
from iln.restoration.restorer import PRECISIONS, Restorer, restore

__all__ = ["PRECISIONS", "Restorer", "parse_size", "restore"]
