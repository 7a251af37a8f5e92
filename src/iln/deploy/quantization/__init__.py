"""Fake quantization of weights and activations: formats, calibration and SQNR."""

from iln.deploy.quantization.fake import FORMATS, Bits, bits_of, calibrate, quantized
from iln.deploy.quantization.rounding import (
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
    "calibrate",
    "quantize_asymmetric",
    "quantize_symmetric",
    "quantized",
    "sqnr",
]
