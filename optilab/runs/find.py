"""Names of runs and the directory they are kept in; finding them by name, path, pattern or age, or the latest."""

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from optilab.errors import (
    CheckpointError,
    OptilabError,
    RunError,
    UsageError,
    did_you_mean,
    shown,
)
from optilab.files import is_regular
from optilab.runs.record import (
    CONFIG_FILE,
    MANIFEST,
    STUDY_FILE,
    Record,
    Study,
    directories,
    is_safe_name,
    read_entry,
)
from optilab.words import listed, some

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names of devices, with any extension, of which Windows makes no directory."""


def run_name(text: str) -> str:
    """A name that is safe as a path on every system, in a shell, in a spreadsheet and in HTML; else ValueError."""
    if _DEVICE.fullmatch(text):
        raise ValueError(f"expected a name that Windows can have, too, got {shown(text, 70)}")
    if _NAME.fullmatch(text) and not text.endswith("."):
        return text
    accepted = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit and the last not a dot"
    raise ValueError(f"expected {accepted}, got {shown(text, 70)}")


def directory_name(text: str) -> str:
    """A name for a new run or study; else ValueError."""
    if text == LATEST:
        raise ValueError(f"expected another name than {LATEST}, which means the newest run")
    return run_name(text)


def new_name(label: str) -> str:
    """A name that sorts by time (UTC) and that no other process picks: 20261124-143512-LABEL-1c2d9e05.

    For a thousand that are picked within one second, as by an array of jobs, two are equal once in 8,000 times.
    """
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label[:39]}-{secrets.token_hex(4)}"


def chosen_name(name: str | None, label: str) -> str:
    """The name of a new run: that of `--name`, checked, or a new one. UsageError if it is not a name."""
    if name is None:
        return new_name(label)
    try:
        return directory_name(name)
    except ValueError as error:
        raise UsageError(f"--name: {error}") from None


def timestamp() -> str:
    """Now, in UTC, to the second: 2026-11-24T14:35:12Z."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


# --- finding --------------------------------------------------------------------------------------------------

LATEST = "latest"
"""A name that means the run that was started last."""

_CLOCK_ERROR = timedelta(minutes=1)
"""The largest accepted lead of another machine's clock."""
MAX_AGE = timedelta(days=36_500)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def entries(directory: Path) -> tuple[list[Record | Study], dict[str, OptilabError]]:
    """Every readable run and study in `directory`, oldest first, and for every other directory why it is not one."""
    readable, unreadable = read_each(directories(directory))
    return sorted(readable, key=_start_key), unreadable


def read_each(paths: Iterable[Path]) -> tuple[list[Record | Study], dict[str, OptilabError]]:
    """The runs and studies in these directories, and for every other directory, by name, why it is not one."""
    readable, unreadable = list[Record | Study](), dict[str, OptilabError]()
    for path in paths:
        try:
            readable.append(read_entry(path))
        except OptilabError as error:
            unreadable[path.name] = error
    return readable, unreadable


def locate(directory: Path, name: str, command: str | None = None) -> Path:
    """Resolve a run or study: a name in `directory`, STUDY/TRIAL or SWEEP/confirmed, else `latest`, else a path.

    `latest` is the newest of `directory`, or its newest run of `command`. RunError, with the nearest names,
    where there is none; UsageError for another path, a pattern or a file.
    """
    name = name.replace(os.sep, "/")
    where, last = os.path.split(name)
    path, study = directory / name, directory / where
    if last and not where and not name.startswith("."):
        if os.path.islink(path):
            raise RunError(f"{path} is a link to {os.path.realpath(path)}; expected a run")
        if os.path.isdir(path) and (_NAME.fullmatch(name) or _is_entry(path)):
            return path
    elif _is_inside(directory, where) and is_safe_name(last) and is_regular(path / MANIFEST):
        return path
    if name == LATEST:
        return _latest(directory, command)
    path = Path(name if last not in ("", "..", ".") else os.path.abspath(name))  # `.` has no name of its own
    if name and is_regular(path / MANIFEST) and not path.is_symlink():
        return path
    searched = [parent for parent in (study, Path(where or directory)) if os.path.isdir(parent)][:1]
    available = [os.path.join(where, e.name) for parent in searched for e in directories(parent) if _is_entry(e)]
    few = f"; expected {listed(available, 'or')}" if 0 < len(available) < 5 else _missing(directory)
    near = did_you_mean(name, available if where else [LATEST, *available]) if available else ""
    is_trial = _is_inside(directory, where) and os.path.lexists(study / STUDY_FILE) and not is_pattern(name)
    is_path = re.search(r"[/*?\[]", name) or is_regular(Path(name))
    kind = UsageError if is_path and not is_trial else RunError
    raise kind(f"no run {shown(name)} in {directory}{near or few}")


def _is_inside(directory: Path, where: str) -> bool:
    """True if the path names a possible study in `directory`, or a study inside that one, and passes no link."""
    above = [directory / where, *Path(directory, where).parents][: where.count("/") + 1]
    names = where.split("/")  # a study may be renamed by hand
    return all(n and not n.startswith(".") for n in names) and not any(path.is_symlink() for path in above)


def _missing(directory: Path) -> str:
    """A message that the directory does not exist; empty if it does."""
    return "" if directory.is_dir() else ": there is no such directory"


def select(directory: Path, names: Sequence[str], older_than: timedelta | None = None) -> list[Path]:
    """The runs and studies that names, paths and patterns like `2026*` mean, or all older than an age.

    Both together mean the named entries that are old enough. A pattern or an age leaves out runs that a process
    writes; a pattern means damaged runs, too. Raises what `locate` raises, and RunError for a pattern that matches
    nothing.
    """
    matching = _matching(directory, names)
    if older_than is None:
        return list(dict.fromkeys(entry if isinstance(entry, Path) else entry.path for entry in matching))
    before = f"{datetime.now(UTC) - older_than:%Y-%m-%dT%H:%M:%SZ}"
    chosen = _read(matching) if names else entries(directory)[0]
    return [entry.path for entry in chosen if "" < _start_key(entry)[0] < before and entry.state != "running"]


def read_selected(directory: Path, names: Sequence[str]) -> list[Record | Study]:
    """`select`, read; a pattern `STUDY/0.1*` or `DIR/*` looks inside that. CheckpointError for a damaged run."""
    return _read(_matching(directory, names, inside=True))


def _read(matching: Iterable[Record | Study | Path]) -> list[Record | Study]:
    read = (read_entry(entry) if isinstance(entry, Path) else entry for entry in matching)
    return list({entry.path: entry for entry in read}.values())


def is_pattern(name: str) -> bool:
    """True if the name may match several runs."""
    return re.search(r"[*?\[]", name) is not None


def parse_age(text: str, where: str = "") -> timedelta:
    """`30d` as a duration: a whole number of minutes (m), hours (h), days (d) or weeks (w). UsageError otherwise."""
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if match is None:
        raise UsageError(f"expected a whole number and its unit (m, h, d or w), got {shown(text)}", where)
    if (duration := timedelta(**{_UNITS[match[2]]: int(match[1])})) > MAX_AGE:
        raise UsageError(f"expected at most {MAX_AGE.days:,} days, got {text}", where)
    return duration


def _matching(directory: Path, names: Sequence[str], inside: bool = False) -> Iterator[Record | Study | Path]:
    """The entries or paths that match the names; an entry where it had to be read to match."""
    for name in names:
        where, pattern = os.path.split(name.replace(os.sep, "/"))
        if not is_pattern(name) or (where and not inside):
            yield locate(directory, name)
        elif where:  # the trials of a study, or the runs of another directory
            is_study = _is_inside(directory, where) and (directory / where).exists()
            yield from _matching(locate(directory, where) if is_study else Path(where), [pattern])
        else:
            yield from _like(directory, pattern)


def _like(directory: Path, pattern: str) -> Iterator[Record | Study | Path]:
    readable, unreadable = entries(directory)
    if os.path.lexists(directory / STUDY_FILE):  # inside which a pattern means its trials, not its confirmation
        readable = [entry for entry in readable if isinstance(entry, Record)]
    matching = [entry for entry in readable if fnmatchcase(entry.name, pattern)]
    damaged = [
        directory / other for other in unreadable if fnmatchcase(other, pattern) and _is_entry(directory / other)
    ]
    if not (matching or damaged):
        raise RunError(f"no run in {directory} matches {shown(pattern)}{_missing(directory)}")
    ended = [entry for entry in matching if entry.state != "running"]
    if not (ended or damaged):
        names = some([entry.name for entry in matching], 5)
        raise RunError(f"what matches {shown(pattern)} in {directory} is still being written: {names}")
    yield from ended
    yield from damaged  # whoever reads it says what is wrong with it


def _latest(directory: Path, command: str | None) -> Path:
    readable, unreadable = entries(directory)
    candidates = [entry for entry in readable if command in (None, entry.manifest["command"])]
    runs = [entry for entry in candidates if command is None or isinstance(entry, Record)]
    if not runs:
        raise RunError(
            f"no {f'run of `optilab {command}`' if command else 'run'} in {directory}{_missing(directory)}"
        )
    for name, reason in unreadable.items():
        if _is_entry(directory / name) and (directory / name).stat().st_mtime >= runs[-1].path.stat().st_mtime:
            raise CheckpointError(f"{LATEST} may be {name}, which cannot be read: {reason}")
    if (created := _start_key(runs[-1])[0]) > f"{datetime.now(UTC) + _CLOCK_ERROR:%Y-%m-%dT%H:%M:%SZ}":
        raise RunError(f"{LATEST} may not be {runs[-1].name}, created in the future ({created})")
    return runs[-1].path


def _is_entry(path: Path) -> bool:
    """True if a directory that is not a readable run has a file that optilab writes into every run."""
    return any(os.path.lexists(path / name) for name in (MANIFEST, CONFIG_FILE, STUDY_FILE))


def _start_key(entry: Record | Study) -> tuple[str, int, str]:
    """Sort key: the time of the start; entries of the same second are ordered by their files."""
    try:
        started = (entry.path / entry.FILE).stat().st_mtime_ns
    except OSError:
        started = 0
    return str(entry.manifest.get("created", "")), started, entry.name
