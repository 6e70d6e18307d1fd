"""Names of the ways in which a path ends, for configs and commands: they load no NumPy."""

from enum import StrEnum


class Status(StrEnum):
    """The way in which a path ended."""

    CONVERGED = "converged"
    """The gradient's norm is below the tolerance."""
    MOVING = "moving"
    """Neither converged nor diverged: more steps would change the answer."""
    DIVERGED = "diverged"
    """No longer finite, or much higher than the start: a smaller learning rate would help."""
