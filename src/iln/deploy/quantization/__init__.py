"""PrecisionTrial numbers: what becomes of weights and activations that have only a few bits."""

from iln.deploy.quantization.fake import FORMATS, Bits, bits_of, calibrate, quantized
from iln.deploy.quantization.quantization import (
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
