"""Narrow numbers: what becomes of weights and activations that have only a few bits."""

from iln.precision.quantization import quantize_asymmetric, quantize_symmetric, sqnr

__all__ = ["quantize_asymmetric", "quantize_symmetric", "sqnr"]
