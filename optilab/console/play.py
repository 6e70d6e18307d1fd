"""`optilab play`: what was written, and which rules diverge at the settings that the page opens with."""

from pathlib import Path
from typing import Any

from optilab.config.load import dump
from optilab.config.optimize import OptimizeConfig
from optilab.optimize import Status, descend
from optilab.show import terminal


def document(config: OptimizeConfig, file: str, size: int) -> dict[str, Any]:
    """The document of `--json`."""
    tree = dump(config)
    return {
        "file": file,
        "bytes": size,
        "algo": tree["algo"],
        "function": tree["function"],
        "epochs": config.epochs,
        "diverged": _diverged(config),
    }


def show(config: OptimizeConfig, file: str, size: int) -> None:
    """The file, where to open it, and a hint for rules that diverge."""
    where = Path(file).absolute().as_uri()
    terminal.say(
        f"{', '.join(config.labels)} on {config.function.name}, {config.epochs} epochs, {size // 1000} KB"
    )
    if diverged := _diverged(config):
        terminal.note(
            f"at these settings {', '.join(diverged)} diverge{'s' * (len(diverged) == 1)}; "
            "the page shows the limits, and --tune 50 starts at better settings"
        )
    terminal.say(f"open it in a browser: {where}")


def _diverged(config: OptimizeConfig) -> list[str]:
    paths = [descend(rule, config.function, config.start, config.epochs, config.tolerance) for rule in config.algo]
    pairs = zip(config.labels, paths, strict=True)
    return [label for label, path in pairs if path.status is Status.DIVERGED]
