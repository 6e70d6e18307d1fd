"""Options of the commands that train many networks, what they start from, and how a signal ends them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optilab import runs, signals
from optilab.cli.options import complete_run, no_config, only_one
from optilab.errors import RunError, UsageError

if TYPE_CHECKING:
    from optilab.study.execution import StudyResult
    from optilab.study.plan import StudyPlan

Jobs = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=256, help="Trainings at once [one per physical core].")
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Train on the workers of a dask scheduler, tcp://HOST:PORT or its file."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its estimated cost; train nothing.")]
StudyFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Repeat a study: its study.yaml, or one of yours.")
]
ResumeStudy = Annotated[
    str | None,
    typer.Option("--resume", metavar="STUDY", help="Continue a stopped study.", autocompletion=complete_run),
]


@dataclass(frozen=True)
class Source:
    """What a command that trains many networks starts from: a training, a study file, or a study to be continued."""

    config: str | Mapping[str, Any]
    """What `load` takes."""
    name: str | None
    """Of the study."""


def source(
    command: str, config: str | None, file: str | None, resume: str | None, name: str | None, folder: Path
) -> Source:
    """The source of a study. UsageError without one, and for two."""
    only_one(resume=resume, config=file or config)
    only_one(resume=resume, name=name)
    if resume is not None:
        path = runs.locate(folder, resume)
        _require_study_of(command.partition(" ")[0], path)
        return Source(str(path / runs.STUDY), path.name)
    if config is not None and Path(config).name == runs.STUDY:
        raise UsageError(f"{config} is what a study was asked, not a training; repeat it with --config {config}")
    if config is not None and file is not None:
        raise UsageError(f"two configs: {config} and --config {file}; give one")
    if config is not None:
        return Source({"config": config}, name)
    if file is not None:
        return Source(file, name)
    raise no_config(command)


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


def run(
    plan: "StudyPlan",
    folder: Path,
    name: str,
    silent: bool,
    jobs: int | None = None,
    cluster: str | None = None,
    fail_fast: bool = False,
) -> "StudyResult":
    """Run the study `name` in `folder`, or what is missing of it. Does not return where a signal stops it."""
    from optilab.lab import execution
    from optilab.show import terminal

    ran = execution.run(plan, folder, name, sys.argv, silent, jobs, cluster, fail_fast)
    if ran.stopped is not None:
        terminal.note(f"stopped; the same command with --name {name} continues with what is missing")
        signals.die_of(ran.stopped)
    return ran
