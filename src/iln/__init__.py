"""Image restoration with Transformers that train calmly and run anywhere."""

__version__ = "0.1.0"
