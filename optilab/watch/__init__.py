"""`optilab.watch`: the measurements inside a network that a user's loop trains."""

from optilab.watch.watch import Watch

__all__ = ["Watch"]
