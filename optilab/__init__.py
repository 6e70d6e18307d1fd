"""A command-line laboratory for optimizers and training dynamics."""
