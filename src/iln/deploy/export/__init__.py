"""Networks as files for other programs: ONNX, OpenVINO, PyTorch, ExecuTorch, the authors' own
files, and web pages."""

from iln.deploy.export.exporting import export
from iln.deploy.export.graph import parse_shape, trace

__all__ = ["export", "parse_shape", "trace"]
