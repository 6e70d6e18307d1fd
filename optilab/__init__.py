"""A command-line laboratory for optimizers and training dynamics."""

__version__ = "0.1.0"
