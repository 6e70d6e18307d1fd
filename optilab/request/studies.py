"""The study that a request means: where it starts, its settings, and its run or its plan."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from optilab import runs
from optilab.answer.planned import PlannedStudy
from optilab.answer.progress import TerminalView
from optilab.config import archive
from optilab.config.load import at_place, tree_of
from optilab.config.section import build
from optilab.config.tree import Tree
from optilab.errors import RunError, UsageError, shown
from optilab.proposals import Proposal
from optilab.request.options import JobOptions, StudyOptions
from optilab.request.request import Place, plain
from optilab.runs import Record
from optilab.runs.record import CONFIG_FILE
from optilab.show import terminal

if TYPE_CHECKING:
    from optilab.answer.results import EndedStudy
    from optilab.study.study import StudyResult, StudySpec


def tree_and_name(
    command: str, request: StudyOptions, config: Any, place: Place, **started: Any
) -> tuple[Tree, str | None]:
    """The start of a study, a training with what is `started`, a study's file or a study to be continued, and its name,
    if that is chosen. UsageError where there is none."""
    assert request.STUDY_KEYS is not None
    if request.resume is not None:
        try:
            path = runs.locate(place.folder, request.resume)
            _require_study_of(command, path, place.folder)
            runs.run_name(path.name)
        except ValueError as error:
            raise UsageError(f"{request.flag('resume')}: {error}") from None
        return tree_of(request.STUDY_KEYS.kind, str(path / runs.STUDY_FILE)), path.name
    (single,) = config if isinstance(config, list) and len(config) == 1 else [config]
    if archive.holds_study(single):
        return tree_of(request.STUDY_KEYS.kind, single), request.name
    for each in config if isinstance(config, list) else [config]:
        if isinstance(each, str) and Path(each).name == runs.STUDY_FILE:
            raise UsageError(f"expected a training, got the study {each} (--study)")
    if config is not None:
        keys = [training(each) for each in config] if isinstance(config, list) else training(config)
        return Tree.of({"config": keys, **started}, ""), request.name
    if request.study is None:
        raise missing_config(command)
    return tree_of(request.STUDY_KEYS.kind, request.study), request.name


def study_config(request: StudyOptions, tree: Tree) -> Any:
    """The keys of the study's file: those of its start, changed by what was given; a mapping adds to one."""
    assert request.STUDY_KEYS is not None
    for change in request.study_overrides():
        before = tree.values.get(change.key)
        if isinstance(change.value, dict) and isinstance(before, dict):
            change = replace(change, value={**before, **change.value})
        tree.put(change)
    return build(request.STUDY_KEYS, tree)


def with_location(tree: Tree, call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `call`; errors of what stands in a study's file get its line."""
    try:
        return call(*arguments)
    except UsageError as error:
        located = at_place(error, tree)
        raise (error if str(located) == str(error) else located) from None


def training(config: Any) -> str | Mapping[str, Any]:
    """A training as `load` takes it: a preset, a file, or its keys. UsageError for anything else."""
    keys: Any = plain(config)
    if not isinstance(keys, str | Mapping):
        raise UsageError(f"expected a preset, a YAML file or a mapping of keys, got {shown(config)}", "config")
    return keys


def note_origin(config: Any, place: Place) -> None:
    """Note which config is meant by the directory of a run, and by the name of a preset that a run has, too. The config
    of a fork does not say where the fork started."""
    if place.silent or not isinstance(config, str) or os.path.isfile(config):
        return
    run = place.folder / config
    if os.path.isdir(config):
        text = f"the config is {os.path.join(config, CONFIG_FILE)}"
        if origin := runs.read(Path(config)).manifest.get("fork"):
            text += f"; the run is a fork of {origin.get('run')} after epoch {origin.get('epoch')}"
            text += ", and this training starts from the initial weights"
        terminal.note(text)
    elif (run / CONFIG_FILE).is_file():
        terminal.note(f"the config is the preset {config}; the run of that name is {run}")


def missing_config(command: str) -> UsageError:
    """The error of a command that trains, without a config."""
    return UsageError(f"{command} needs a config: a preset, a YAML file or the directory of a run")


def _require_study_of(command: str, path: Path, directory: Path) -> None:
    """RunError for a run, and for a study that another command makes or that is not in the directory of runs."""
    entry = runs.read_entry(path)
    made = entry.manifest["command"]
    if not isinstance(entry, runs.Study):
        raise RunError(f"{path} is a run of `optilab {made}`, not a study")
    if made != command:
        raise RunError(f"expected a study of `optilab {command}`, got one of `optilab {made}`: {path}")
    if sweep := runs.sweep_of(path):
        raise RunError(f"{path} is a part of its sweep, {sweep.name}")
    if os.path.realpath(path.parent) != os.path.realpath(directory):
        raise RunError(f"{path} is not in {directory}")
    entry.require_unedited()


# --- the study runs -----------------------------------------------------------------------------------------


E = TypeVar("E", bound="EndedStudy")


def run_or_plan(
    request: StudyOptions,
    place: Place,
    tree: Tree,
    name: str | None,
    spec_of: Callable[..., "StudySpec"],
    label: str,
    answer: type[E],
) -> "E | PlannedStudy":
    """The study that a request makes of its `tree`, planned by `spec_of` and run, as an `answer`; or its cost.

    `label` ends the name of a study that is given none.
    """
    from optilab.judge.claims import judge_claims
    from optilab.study.results import results_of_study

    spec = with_location(tree, spec_of, study_config(request, tree), request.changes)
    config = getattr(request, "config", None)
    for training in config if isinstance(config, list) else [config]:
        note_origin(training, place)
    name = runs.chosen_name(name, f"{spec.name}-{label}")
    if request.dry_run:
        return dry_run(spec, name, request, place)
    ran = run(spec, name, request, place)
    study, claims = runs.read_study(ran.path), spec.request.expect
    judged = judge_claims(claims, results_of_study(study)) if claims else []
    ended = answer(study, ran, spec, judged=judged)
    request.save(ended)
    return ended


def run(spec: "StudySpec", name: str, request: JobOptions, place: Place) -> "StudyResult":
    """Run the study `name` and its confirmation, or what is missing. A signal ends it, and does not return here."""
    from optilab.study import study

    _require_possible(spec, place.folder / name)
    how = study.ExecutionOptions(
        request.jobs, getattr(request, "cluster", None), bool(getattr(request, "fail_fast", False))
    )
    typed = request.typed and isinstance(request, StudyOptions)  # progress stands next to a document, too
    silent = bool(request.arguments.get("quiet")) if typed else place.silent
    ran = study.run(spec, place.folder, name, place.argv, TerminalView(silent), how)
    if ran.stopped is not None:
        sentence: str | Proposal = f"stopped; the same command with --name {name} continues with what is missing"
        if isinstance(request, StudyOptions):
            again = runs.resume_command(ran.path, spec.command)
            sentence = Proposal("stopped; continue with: ", again)
        place.stopped(ran.stopped, sentence)
    best = spec.confirmation(ran.path, {outcome.trial.name: outcome for outcome in ran.outcomes})
    if best is None or (how.fail_fast and ran.code):
        return ran
    inside = replace(place, folder=ran.path, argv=runs.read_study(ran.path).manifest["argv"])
    return replace(ran, confirmation=run(best, runs.CONFIRMED_DIRECTORY, request, inside))


def _require_possible(spec: "StudySpec", path: Path) -> None:
    """Refuse claims that can never be checked, and the name of a run."""
    from optilab.judge.claims import require_judgeable

    trainings = [trial.config for trial in spec.trials]
    require_judgeable(spec.request.expect, spec.labels, trainings, spec.sample, unit=spec.unit)
    if (path / "manifest.json").is_file() and isinstance(entry := runs.read_entry(path), Record):
        raise RunError(f"--name: {path} is a run of `optilab {entry.manifest['command']}`, not a study")


def dry_run(spec: "StudySpec", name: str, request: JobOptions, place: Place) -> "PlannedStudy":
    """The cost of the study `name`, or of its missing trials; nothing is written."""
    from optilab.study import study

    _require_possible(spec, place.folder / name)
    cost = study.dry_run(spec, place.folder / name, study.ExecutionOptions(request.jobs))
    return PlannedStudy(spec.shape, cost, spec.detectable, spec.notes)
