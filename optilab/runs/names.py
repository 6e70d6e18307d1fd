"""Names of runs, the folder they are kept in, and the command that continues one."""

import os
import re
import secrets
import shlex
from datetime import UTC, datetime
from pathlib import Path

from optilab.errors import UsageError, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


def run_name(text: str) -> str:
    """A name that is safe as a path, in a shell, in a spreadsheet and in HTML; else ValueError."""
    if _NAME.fullmatch(text) and not text.endswith(".") and text.split(".")[0].lower() not in _RESERVED:
        return text
    accepted = "1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit"
    raise ValueError(f"{accepted}, and not a name that Windows reserves; got {shown(text)}")


def root(folder: str | None) -> Path:
    """Where runs are kept: `--runs-dir`, else OPTILAB_RUNS, else ./runs."""
    return Path(folder or os.environ.get("OPTILAB_RUNS") or "runs")


def new_name(label: str) -> str:
    """A name that sorts by time (UTC) and that no other process picks: 20261124-143512-LABEL-1c2d9e05.

    Of a thousand that are picked within one second, as by an array of jobs, two are equal once in 8,000 times.
    """
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label[:39]}-{secrets.token_hex(4)}"


def chosen_name(name: str | None, label: str) -> str:
    """The name of a new run: that of `--name`, checked, or a new one. UsageError if it is not a name."""
    if name is None:
        return new_name(label)
    try:
        return run_name(name)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None


def timestamp() -> str:
    """Now, in UTC, to the second: 2026-11-24T14:35:12Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def resume_command(path: Path) -> str:
    """The command that continues the run at `path`, quoted for a shell."""
    folder = [] if path.parent == root(None) else ["--runs-dir", str(path.parent)]
    return shlex.join(["optilab", "train", "--resume", path.name, *folder])
