"""A command-line laboratory for optimizers and training dynamics."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optilab.lab import Lab as Lab

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`optilab.Lab`, imported when it is first asked for: a command need not wait for it."""
    if name == "Lab":
        from optilab.lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
