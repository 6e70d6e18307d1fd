"""A command-line laboratory for optimizers and training dynamics."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optilab.lab import Lab as Lab
    from optilab.loop import Watch

    watch = Watch

__all__ = ["Lab", "__version__"]
__version__ = "0.3.0.dev0"


def __dir__() -> list[str]:
    return [*__all__, "watch"]  # not in __all__: `from optilab import *` would wait for PyTorch


def __getattr__(name: str) -> Any:
    """`optilab.Lab` and `optilab.watch`, imported when they are first asked for: a command need not wait for them."""
    if name == "Lab":
        from optilab.lab import Lab

        return Lab
    if name == "watch":
        from optilab.loop import Watch

        return Watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has Lab and watch")
