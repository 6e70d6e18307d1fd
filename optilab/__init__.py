"""A command-line laboratory for optimizers and training dynamics."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optilab.lab import Lab as Lab
    from optilab.loop import Watch

    watch = Watch

__all__ = ["Lab", "__version__"]
__version__ = "0.2.0.dev0"


def __dir__() -> list[str]:
    return [*__all__, "watch"]  # not in __all__: `from optilab import *` would wait for PyTorch


def __getattr__(name: str) -> Any:
    """`optilab.Lab`, imported when it is first asked for: a command need not wait for it."""
    if name == "Lab":
        from optilab.lab import Lab

        return Lab
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has Lab and watch")


class _Package(ModuleType):
    """The package, whose attribute `watch` stays the class `Watch` after the package of that name is imported."""

    @property
    def watch(self) -> Any:
        from optilab.loop import Watch

        return Watch

    @watch.setter
    def watch(self, package: ModuleType) -> None:
        """Python sets the name to the package that it has imported; the class keeps it."""


sys.modules[__name__].__class__ = _Package
