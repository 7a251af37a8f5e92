"""Weights files: our format, those that others publish, and the models of the package."""
