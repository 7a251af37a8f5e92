"""Networks whose heavy layers OpenVINO computes: faster on CPUs, in float32, bfloat16 or int8."""

from iln.deploy.openvino.choice import compile_for
from iln.deploy.openvino.network import (
    ONE_AT_A_TIME,
    STRIP,
    compiled,
    scratch_bytes,
    supported_precisions,
)
from iln.deploy.openvino.whole import WholeGraph

__all__ = [
    "ONE_AT_A_TIME",
    "STRIP",
    "WholeGraph",
    "compile_for",
    "compiled",
    "scratch_bytes",
    "supported_precisions",
]
