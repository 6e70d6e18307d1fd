"""`optilab.watch`: the measurements inside a network that a user's loop trains."""

from optilab.loop.watch import Watch

__all__ = ["Watch"]
