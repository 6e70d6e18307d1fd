"""`optilab.watch`: what happens inside a network that a loop of the user's own trains."""

from optilab.watch.watch import Watch

__all__ = ["Watch"]
