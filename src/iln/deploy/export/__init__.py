"""Networks as files that other programs run: ONNX and PyTorch's exported programs."""

from iln.deploy.export.exporting import export
from iln.deploy.export.graph import parse_shape, trace

__all__ = ["export", "parse_shape", "trace"]
