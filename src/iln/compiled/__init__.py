"""Networks whose heavy layers OpenVINO computes: faster on CPUs, in float32, bfloat16 or int8."""

from iln.compiled.network import compiled, numbers_here

__all__ = ["compiled", "numbers_here"]
