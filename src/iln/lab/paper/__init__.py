"""The paper's figures and tables, each from one command; `reproduce` is that command."""

from iln.lab.paper.reproduce import ITEMS, find_item, reproduce
from iln.lab.paper.scale import SCALES, Scale, scale_of
from iln.lab.paper.store import Run, Store

__all__ = ["ITEMS", "SCALES", "Run", "Scale", "Store", "find_item", "reproduce", "scale_of"]
