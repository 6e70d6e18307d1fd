"""`optilab check`: claims about results, judged one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optilab.cli.execution import Jobs
from optilab.cli.options import (
    Expect,
    Json,
    RunsDir,
    Silent,
    complete_run_or_preset,
    not_empty,
    only_one,
)
from optilab.errors import ExitCode, OptilabError, UsageError, shown

if TYPE_CHECKING:
    from optilab.config.schema.check import Check
    from optilab.config.schema.optimize import OptimizeConfig
    from optilab.config.schema.study import SweepConfig
    from optilab.console.claims import Checked
    from optilab.runs import Study
    from optilab.studies.claims import Judged

EXAMPLES = """\b
Examples:
  optilab check my.yaml --junit results.xml
  optilab check my.yaml --seeds 5 --expect 'val_acc > 0.5 confidence 0.95'
  optilab check latest --expect 'val_acc > 0.8'
  optilab check claims.yaml --slow --json
"""


def check(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|RUN|STUDY...",
            help="Configs with `expect:`, files of claims, runs, studies.",
            autocompletion=complete_run_or_preset,
        ),
    ],
    expect: Expect = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Of a train config: train with N seeds.")
    ] = 1,
    slow: Annotated[bool, typer.Option("--slow", help="Of a file of claims: check the slow ones, too.")] = False,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE.xml", help="Write the results as JUnit's XML.", callback=not_empty)
    ] = None,
    jobs: Jobs = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    """Run configs, or read runs and studies, and judge the claims about them: one line per claim."""
    from optilab import console, runs
    from optilab.console import claims as views
    from optilab.console.junit import xml as junit_xml

    only_one(json=json_, quiet=quiet)
    if junit is not None:
        _require_writable(Path(junit))
    request = _Request(tuple(expect or ()), seeds, slow, jobs, runs.root(runs_dir), silent=json_ or quiet)
    checked = []
    for target in targets:
        for one in request.checks(target):
            checked.append(one)
            views.show(one, silent=json_ or quiet)
    if junit is not None:
        runs.write_atomic(Path(junit), junit_xml(views.suites(checked)))
    if json_:
        console.document(views.document(checked))
    elif not quiet:
        console.say(views.summary(checked))
    failed = [one.error.code for one in checked if one.error is not None]
    if failed:
        return failed[0]
    holds = all(claim.holds for one in checked for claim in one.judged)
    return ExitCode.OK if holds else ExitCode.EXPECTATION


def _require_writable(path: Path) -> None:
    if path.suffix != ".xml":
        raise UsageError(f"a file that ends with .xml expected, got {shown(str(path))}", "--junit")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: not a file in a folder that exists", "--junit")


class TrialsFailed(OptilabError):
    code = ExitCode.SWEEP


class _Request:
    """What is asked of every target."""

    def __init__(
        self, expect: Sequence[str], seeds: int, slow: bool, jobs: int | None, folder: Path, silent: bool
    ) -> None:
        self.expect, self.seeds, self.slow = expect, seeds, slow
        self.jobs, self.folder, self.silent = jobs, folder, silent

    def checks(self, target: str) -> "Sequence[Checked]":
        """The claims of a target, judged; those of a file of claims one command at a time."""
        from optilab.config.load import kind_of, load
        from optilab.config.schema.check import CheckFile

        if not target.endswith((".yaml", ".yml")) and not Path(target).is_file():
            return self._entries(target)
        try:
            kind = kind_of(target)
            if kind != "check":
                return [self._judged(target, lambda: self._config(kind, target, {}, ()))]
            file = load(CheckFile, target)
        except OptilabError as error:
            return [_failed(target, error)]
        return [self._judged(entry.name, lambda entry=entry: self._entry(entry)) for entry in self._chosen(file)]

    def _chosen(self, file: Any) -> "Sequence[Check]":
        chosen: Sequence[Check] = file.checks if self.slow else file.quick()
        return chosen

    def _entry(self, check: "Check") -> "tuple[list[Judged], list[str]]":
        from optilab.config.load import dump

        claims = dump(check)["expect"]
        return self._config(check.command, getattr(check, check.command), check.set, claims)

    def _config(
        self, kind: str, config: Any, settings: dict[str, Any], claims: Sequence[Any]
    ) -> "tuple[list[Judged], list[str]]":
        """Run a config and judge its claims, those of an entry and those of `--expect`."""
        from optilab.config.load import Override, load, schema_for

        changes = [Override("set", key, value) for key, value in settings.items()]
        claimed = [
            Override(where, "expect", list(texts), adds=True)
            for where, texts in (("expect", claims), ("--expect", self.expect))
            if texts
        ]
        if kind == "optimize":
            return _paths(load(schema_for(kind), config, [*changes, *claimed])), []  # type: ignore[arg-type]
        from optilab.config.schema.study import SweepConfig
        from optilab.studies import sweep

        if kind == "sweep":
            asked = sweep.resolve(load(SweepConfig, config, claimed), changes)
        else:
            study = SweepConfig(config=config, seeds=self.seeds)
            asked = sweep.resolve(study, [*changes, *claimed])
        return self._study(kind, asked)

    def _study(self, kind: str, asked: "SweepConfig") -> "tuple[list[Judged], list[str]]":
        from optilab import runs
        from optilab.cli import execution
        from optilab.lab.execution import of_sweep
        from optilab.studies import sweep
        from optilab.studies.claims import of_trainings

        _require(asked.expect)
        request = of_sweep(kind, sweep.plan(asked), self.jobs)
        name = runs.new_name(f"{asked.name}-check")
        ran = execution.run(request, self.folder, name, self.silent)
        failed = [outcome for outcome in ran.outcomes if outcome.failed]
        if failed:
            raise TrialsFailed(f"{failed[0].trial.name} failed: {failed[0].reason}", str(ran.path))
        return of_trainings(asked.expect, [runs.read(path) for path in ran.through]), [str(ran.path)]

    def _entries(self, target: str) -> "Sequence[Checked]":
        """The runs and studies that a name, path or pattern means."""
        from optilab import runs

        try:
            paths = runs.select(self.folder, [target])
        except OptilabError as error:
            return [_failed(target, error)]
        return [self._judged(path.name, lambda path=path: self._read(path)) for path in paths]

    def _read(self, path: Path) -> "tuple[list[Judged], list[str]]":
        from optilab import runs
        from optilab.config.load import expectations, load, schema_for
        from optilab.studies.claims import of_paths, of_trainings

        entry = runs.read_entry(path)
        command = entry.manifest["command"]
        if command not in ("train", "sweep", "race", "remedy", "optimize"):
            raise UsageError(
                f"a run of optimize, train, sweep, race or remedy expected, got one of {shown(command)}"
            )
        if command == "race" and isinstance(entry, runs.Study):
            return self._read_race(entry)
        typed = expectations("optimize" if command == "optimize" else "train", self.expect)
        if isinstance(entry, runs.Study):
            kind = "sweep" if command in ("train", "sweep") else ""
            stored = load(schema_for(kind), str(path / runs.STUDY)).expect if kind else ()  # type: ignore[attr-defined]
            claims = _require((*stored, *typed))
            return of_trainings(claims, [run for run in entry.runs() if run.state != "failed"]), [str(path)]
        config: Any = load(schema_for(command), str(path / "config.yaml"))
        claims = _require((*config.expect, *typed))
        if command == "train":
            return of_trainings(claims, [entry]), [str(path)]
        asked = config.model_copy(update={"expect": claims})
        return of_paths(asked, entry.rows(), entry.manifest.get("results", {})), [str(path)]

    def _read_race(self, study: "Study") -> "tuple[list[Judged], list[str]]":
        from optilab import runs
        from optilab.config.load import expectations, load
        from optilab.config.schema.study import RaceConfig
        from optilab.studies import heats
        from optilab.studies.claims import of_network_race

        stored = load(RaceConfig, str(study.path / runs.STUDY)).expect
        claims, found = _require((*stored, *expectations("race --on", self.expect))), heats.read(study)
        if found is None:
            raise UsageError("the race has no trial yet", study.name)
        return list(of_network_race(claims, found)), [str(study.path)]

    def _judged(self, target: str, judge: Any) -> "Checked":
        """What `judge` returns, timed; an error of one target leaves the others."""
        from time import perf_counter

        from optilab.console.claims import Checked

        started = perf_counter()
        try:
            judged, made = judge()
        except OptilabError as error:
            return _failed(target, error, perf_counter() - started)
        return Checked(target, judged, perf_counter() - started, None, made)


def _paths(settings: "OptimizeConfig") -> "list[Judged]":
    from optilab.lab.paths import follow, judge

    _require(settings.expect)
    return judge(settings, follow(settings))


def _require(claims: Sequence[Any]) -> Sequence[Any]:
    if not claims:
        raise UsageError("no claim to judge: add `expect:` to the config, or --expect 'val_acc > 0.8'")
    return claims


def _failed(target: str, error: OptilabError, seconds: float = 0.0) -> "Checked":
    from optilab.console.claims import Checked

    return Checked(target, (), seconds, error)
