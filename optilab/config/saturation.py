"""Flat parts of activations, in a module of their own, because a watched loop does not import the configs."""

from math import inf

SATURATION = {
    "sigmoid": (0.05, 0.95),
    "hard-sigmoid": (0.0, 1.0),
    "tanh": (-0.9, 0.9),
    "softsign": (-0.56, 0.56),
    "relu": (0.0, inf),
    "elu": (-0.81, inf),
    "selu": (-1.42, inf),
    "softplus": (0.21, inf),
}
"""Activation -> the bounds of its output at or beyond which the slope is below a fifth of its maximum, at the default
parameters. An activation that is flat at both ends saturates; units of one that is flat at one end die."""
