"""Narrow numbers: what becomes of weights and activations that have only a few bits."""

from iln.precision.fake import FORMATS, Bits, bits_of, body_layers, calibrate, quantized
from iln.precision.quantization import (
    HALF_RANGE,
    quantize_asymmetric,
    quantize_symmetric,
    sqnr,
)

__all__ = [
    "FORMATS",
    "HALF_RANGE",
    "Bits",
    "bits_of",
    "body_layers",
    "calibrate",
    "quantize_asymmetric",
    "quantize_symmetric",
    "quantized",
    "sqnr",
]
