"""An archive to hand on: the config of a run or the file of a study, and the user's code that it names.

`runs export NAME --out share.zip` writes one, and whatever reads a config takes it. Names of code in it are those of
the files next to the config; they are executed where any config's code is.
"""

import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from optilab.config.tree import Tree, yaml_bytes
from optilab.errors import UsageError, shown
from optilab.optimize.rule import without_label
from optilab.runs import STUDY_FILE, Record, Study, write_atomic
from optilab.runs.record import CONFIG_FILE
from optilab.words import listed

ENDING = ".zip"
MAX_BYTES = 16 << 20
"""Bytes of an archive, and of the files in it together."""
DATE = (1980, 1, 1, 0, 0, 0)
"""The date of every file, so that the same run makes the same bytes."""


def packed(entry: Record | Study) -> bytes:
    """The archive of a run or a study; its table is in it, too.

    CheckpointError where a copy of its code is missing, RunError where its config was edited since it started.
    """
    if isinstance(entry, Study):
        entry.require_unedited()
    records = entry.runs()[0] if isinstance(entry, Study) else [entry]
    config = Tree.read(entry.config, str(entry.path / entry.FILE)).values
    names, files = dict[str, str](), dict[str, bytes]()
    for record in records:
        for reference, copy in _code(record).items():
            if (name := f"{copy}:{reference.rpartition(':')[2]}") != names.setdefault(reference, name):
                raise UsageError(f"{entry.path} has two versions of {reference}, which one archive cannot hold")
            files[copy] = (record.path / copy).read_bytes()
    files[entry.FILE] = yaml_bytes(_renamed(config, names))
    table = "trials.csv" if isinstance(entry, Study) else "metrics.csv"
    if (entry.path / table).is_file():
        files[table] = (entry.path / table).read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, DATE), files[name])
    return buffer.getvalue()


def _code(record: Record) -> dict[str, str]:
    """The copies of a user's code in a run's directory, by the names that its config has for the code."""
    entries = {**record.manifest.get("own_rules", {}), **record.manifest.get("own_network", {})}
    return {reference: str(entry["copy"]) for reference, entry in entries.items() if entry.get("copy")}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A part of a config, with other names of code; what was typed is the end of the name that a run has."""
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    rule = without_label(value) if isinstance(value, str) else ""
    if rule.endswith(".py"):  # the only class or function of its file
        names = {old.rpartition(":")[0]: new.rpartition(":")[0] for old, new in names.items()}
    ends = [new for old, new in names.items() if rule and (old == rule or old.endswith(f"/{rule}"))]
    return f"{value.removesuffix(rule)}{ends[0]}" if ends else value


def holds_study(config: Any) -> bool:
    """True for the name of an archive with a study's file."""
    is_archive = isinstance(config, str) and config.lower().endswith(ENDING) and Path(config).is_file()
    return is_archive and unpacked(Path(config)).name == STUDY_FILE


def unpacked(path: Path) -> Path:
    """The config or the study's file of an archive, in a directory of the user's cache that its checksum names.

    UsageError for a file that is no such archive.
    """
    import platformdirs

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
            files = {member.filename: archive.read(member) for member in members}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path} is no archive of `optilab runs export`: {error}") from None
    strange = [name for name in files if not name or Path(name).name != name or "\\" in name or ":" in name]
    found = [name for name in (STUDY_FILE, CONFIG_FILE) if name in files]
    if strange or len(found) != 1:
        reason = f"has {shown(strange[0])}" if strange else f"has not one of {listed([STUDY_FILE, CONFIG_FILE])}"
        raise UsageError(f"{path} is no archive of `optilab runs export`: it {reason}")
    directory = platformdirs.user_cache_path("optilab") / "archives" / sha256(data).hexdigest()[:32]
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if not (directory / name).is_file() or (directory / name).read_bytes() != content:
            write_atomic(directory / name, content)
    return directory / found[0]
