"""The names of how a path ends, for configs and commands, without NumPy."""

from enum import StrEnum


class Status(StrEnum):
    """The end of a path."""

    CONVERGED = "converged"
    """The gradient's norm is below the tolerance."""
    MOVING = "moving"
    """Neither converged nor diverged: more steps would change the answer."""
    DIVERGED = "diverged"
    """No longer finite, or much higher than the start: a smaller learning rate would help."""
