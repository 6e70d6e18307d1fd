"""How a path ends, by name: what configs and commands know of paths before one is followed."""

from enum import StrEnum


class Status(StrEnum):
    """How a path ended."""

    CONVERGED = "converged"
    """The gradient's norm is below the tolerance."""
    MOVING = "moving"
    """Neither converged nor diverged: more steps would change the answer."""
    DIVERGED = "diverged"
    """No longer finite, or much higher than the start: a smaller learning rate would help."""
