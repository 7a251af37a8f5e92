"""Networks whose heavy layers OpenVINO computes: faster on CPUs, in float32, bfloat16 or int8."""

from iln.compiled.network import STRIP, compiled, numbers_here, scratch
from iln.compiled.whole import WholeGraph, is_graph

__all__ = ["STRIP", "WholeGraph", "compiled", "is_graph", "numbers_here", "scratch"]
