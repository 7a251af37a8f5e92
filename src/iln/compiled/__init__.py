"""Networks whose heavy layers OpenVINO computes: faster on CPUs, in float32, bfloat16 or int8."""

from iln.compiled.network import STRIP, compiled, numbers_here, scratch

__all__ = ["STRIP", "compiled", "numbers_here", "scratch"]
