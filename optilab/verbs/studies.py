"""What the commands share that train many networks: where they start from, what they ask, how a signal ends them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optilab import runs
from optilab.config.load import load
from optilab.errors import RunError, UsageError
from optilab.verbs.options import StudyOptions
from optilab.verbs.verb import Place


@dataclass(frozen=True)
class StudySource:
    """What a command that trains many networks starts from: a training, a study file, or a study to be continued."""

    config: str | Mapping[str, Any]
    """What `load` takes."""
    name: str | None
    """Of the study."""


def source(command: str, request: StudyOptions, config: Any, place: Place) -> StudySource:
    """The source of a study. UsageError without one, and for two."""
    if request.resume is not None and config is not None:
        raise UsageError(
            f"{request.flag('resume')} and {'--config' if request.typed else 'config'} cannot be combined"
        )
    if request.resume is not None:
        path = runs.locate(place.folder, request.resume)
        _require_study_of(command.partition(" ")[0], path)
        return StudySource(str(path / runs.STUDY), path.name)
    if isinstance(config, str) and Path(config).name == runs.STUDY:
        raise UsageError(f"{config} is what a study was asked, not a training; repeat it with --config {config}")
    if config is not None and request.file is not None:
        raise UsageError(f"two configs: {config} and --config {request.file}; give one")
    if config is not None:
        return StudySource({"config": config}, request.name)
    if request.file is not None:
        return StudySource(request.file, request.name)
    raise no_config(command)


def asked(request: StudyOptions, source: StudySource) -> Any:
    """What the file of the study keeps: that of `source`, changed by what was given."""
    assert request.KEPT is not None
    return load(request.KEPT, source.config, request.changes(kept=True))


def no_config(command: str) -> UsageError:
    """The error of a command that trains, without a config."""
    example = f"optilab {command} sigmoid.yaml"
    return UsageError(f"{command} needs a config, as in: {example} (optilab config ls lists the presets)")


def _require_study_of(command: str, path: Path) -> None:
    """RunError for a run, and for a study that another command makes, with the command that continues it."""
    entry = runs.read_entry(path)
    made = entry.manifest["command"]
    if not isinstance(entry, runs.Study):
        more = f"; continue it with: {runs.resume_command(path)}" if made == "train" else ""
        raise RunError(f"{path} is a run of `optilab {made}`, not a study{more}")
    if made != command:
        again = f"--seeds N --name {path.name}" if made == "train" else f"--resume {path.name}"
        raise RunError(f"{path} is a study of `optilab {made}`; continue it with: optilab {made} {again}")
