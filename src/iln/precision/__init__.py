"""Narrow numbers: what becomes of weights and activations that have only a few bits."""

from iln.precision.fake import FORMATS, Bits, bits_of, body_layers, calibrate, quantized
from iln.precision.quantization import quantize_asymmetric, quantize_symmetric, sqnr

__all__ = [
    "FORMATS",
    "Bits",
    "bits_of",
    "body_layers",
    "calibrate",
    "quantize_asymmetric",
    "quantize_symmetric",
    "quantized",
    "sqnr",
]
