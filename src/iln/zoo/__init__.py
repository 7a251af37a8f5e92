"""Data only: the weights (.safetensors) and model cards (.md) of the shipped models."""
