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
    from optilab.config.claims import Check
    from optilab.config.load import Override
    from optilab.config.optimize import OptimizeConfig
    from optilab.console.claims import Checked
    from optilab.study.claims import ClaimResult
    from optilab.study.plan import StudyPlan

    _Found = tuple[list[ClaimResult], list[str]]
    """Claims as they were judged, and the directories that were made or read."""

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
    only: Annotated[
        str,
        typer.Option(metavar="PATTERN", help="Of a file of claims: those whose name matches, such as 'README*'."),
    ] = "*",
    junit: Annotated[
        str | None, typer.Option(metavar="FILE.xml", help="Write the results as JUnit's XML.", callback=not_empty)
    ] = None,
    jobs: Jobs = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    """Run configs, or read runs and studies, and judge the claims about them: one line per claim."""
    from optilab import runs
    from optilab.console import claims as views
    from optilab.console.junit import xml as junit_xml
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    if junit is not None:
        _require_writable(Path(junit))
    request = _Request(tuple(expect or ()), seeds, slow, only, jobs, runs.root(runs_dir), silent=json_ or quiet)
    checked = []
    for target in targets:
        for one in request.checks(target):
            checked.append(one)
            views.show(one, silent=json_ or quiet)
    if junit is not None:
        runs.write_atomic(Path(junit), junit_xml(views.suites(checked)))
    if json_:
        terminal.document(views.document(checked))
    elif not quiet:
        terminal.say(views.summary(checked))
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
        self,
        expect: Sequence[str],
        seeds: int,
        slow: bool,
        only: str,
        jobs: int | None,
        folder: Path,
        silent: bool,
    ) -> None:
        self.expect, self.seeds, self.slow, self.only = expect, seeds, slow, only
        self.jobs, self.folder, self.silent = jobs, folder, silent

    def checks(self, target: str) -> "Sequence[Checked]":
        """The claims of a target, judged; those of a file of claims one command at a time."""
        from optilab.config.claims import CheckFile
        from optilab.config.load import command_of, load

        if not target.endswith((".yaml", ".yml")) and not Path(target).is_file():
            return self._entries(target)
        try:
            kind = command_of(target)
            if kind != "check":
                return [self._judged(target, lambda: self._config(kind, target, {}, ()))]
            file = load(CheckFile, target)
        except OptilabError as error:
            return [_failed(target, error)]
        chosen = file.chosen(self.slow, self.only)
        if not chosen:
            which = "" if self.slow else " that is not slow"
            raise UsageError(f"no check{which} has a name like {shown(self.only)}", "--only")
        return [self._judged(entry.name, lambda entry=entry: self._entry(entry)) for entry in chosen]

    def _entry(self, check: "Check") -> "_Found":
        from optilab.config.load import dump

        return self._config(check.command, check.target, check.set, dump(check)["expect"])

    def _config(self, kind: str, given: Any, settings: dict[str, Any], claims: Sequence[Any]) -> "_Found":
        """Run what is given to a command, and judge its claims: those of an entry and those of `--expect`."""
        from optilab.config.load import Override, load
        from optilab.config.optimize import OptimizeConfig

        changes = [Override("set", key, value) for key, value in settings.items()]
        claimed = [
            Override(where, "expect", list(texts), adds=True)
            for where, texts in (("expect", claims), ("--expect", self.expect))
            if texts
        ]
        if kind == "optimize":
            return _paths(load(OptimizeConfig, given, [*changes, *claimed])), []
        if kind == "lr":
            return self._rate(given, changes, claims), []
        if kind == "race" and isinstance(given, dict) and "on" not in given:
            if settings:
                raise UsageError("a race on test functions has no settings to set", "set")
            return self._function_race(given, claimed), []
        return self._study(kind, given, changes, claimed)

    def _rate(self, given: Any, changes: "Sequence[Override]", texts: Sequence[str]) -> "list[ClaimResult]":
        from optilab.config.claims import expectations
        from optilab.config.load import load
        from optilab.config.training import TrainConfig
        from optilab.lab.execution import dataset_of
        from optilab.lab.rates import range_test
        from optilab.study.claims import of_rate
        from optilab.study.rates import rate_ramp

        claims = _require(expectations("lr", [*texts, *self.expect]))
        asked = load(TrainConfig, given, changes)
        test = range_test(asked, rate_ramp(asked.optimizer), dataset_of(asked.data), self.silent)
        return of_rate(claims, test.rate, asked.name)

    def _function_race(self, given: dict[str, Any], claimed: "Sequence[Override]") -> "list[ClaimResult]":
        from optilab.config.load import load
        from optilab.config.study import FunctionRaceConfig
        from optilab.study.claims import of_race
        from optilab.study.race import standings
        from optilab.verbs.race import FunctionRace, found_on_functions
        from optilab.verbs.verb import Place

        asked = load(FunctionRaceConfig, given, claimed)
        place = Place(self.folder, (), self.silent, library=True)
        claims = _require(asked.expect)
        return list(
            of_race(
                claims,
                standings(found_on_functions(asked, FunctionRace(), place).race),
            )
        )

    def _study(
        self, kind: str, given: Any, changes: "Sequence[Override]", claimed: "Sequence[Override]"
    ) -> "_Found":
        from optilab import runs
        from optilab.cli import execution
        from optilab.study.claims import of_study

        asked, plan = self._asked(kind, given, changes, claimed)
        claims = _require(asked.expect)
        label = asked.config.name if kind == "remedy" else asked.name
        ran = execution.run(plan, self.folder, runs.new_name(f"{label}-check"), self.silent, self.jobs)
        failed = [outcome for outcome in ran.outcomes if outcome.failed]
        if failed:
            raise TrialsFailed(f"{failed[0].trial.name} failed: {failed[0].reason}", str(ran.path))
        return of_study(claims, runs.read_study(ran.path)), [str(ran.path)]

    def _asked(
        self, kind: str, given: Any, changes: "Sequence[Override]", claimed: "Sequence[Override]"
    ) -> "tuple[Any, StudyPlan]":
        """The study that a training, a sweep, remedies or a race on trainings mean."""
        from optilab.config.load import load
        from optilab.config.presets import algorithms
        from optilab.config.study import NETWORK_ALGOS, RaceConfig, RemedyConfig, SweepConfig
        from optilab.study import network_race as races
        from optilab.study import remedy, sweep

        if kind == "remedy":
            asked = load(RemedyConfig, given, claimed)
            settings = {**asked.set, **{change.key: change.value for change in changes}}
            asked = remedy.resolve(asked.model_copy(update={"set": settings}))
            return asked, remedy.plan(asked)
        if kind == "race":
            if isinstance(given, dict):
                given = {"algos": algorithms(NETWORK_ALGOS), **given}
            raced = races.resolve(load(RaceConfig, given, claimed), changes)
            return raced, races.plan(raced)
        if kind == "sweep":
            swept = sweep.resolve(load(SweepConfig, given, claimed), changes)
        else:
            swept = sweep.resolve(SweepConfig(config=given, seeds=self.seeds), [*changes, *claimed])
        return swept, sweep.plan(swept, kind)

    def _entries(self, target: str) -> "Sequence[Checked]":
        """The runs and studies that a name, path or pattern means."""
        from optilab import runs

        try:
            paths = runs.select(self.folder, [target])
        except OptilabError as error:
            return [_failed(target, error)]
        return [self._judged(path.name, lambda path=path: self._read(path)) for path in paths]

    def _read(self, path: Path) -> "_Found":
        from optilab import runs
        from optilab.config.claims import expectations
        from optilab.config.fields import schema_for
        from optilab.config.load import load
        from optilab.study.claims import of_paths, of_study, of_trainings

        entry = runs.read_entry(path)
        command = entry.manifest["command"]
        if command not in ("train", "sweep", "race", "remedy", "optimize"):
            raise UsageError(
                f"a run of optimize, train, sweep, race or remedy expected, got one of {shown(command)}"
            )
        if isinstance(entry, runs.Study):
            kind: Any = schema_for("sweep" if command == "train" else command)
            asked = load(kind, str(path / runs.STUDY))
            raced = command == "race" or getattr(asked, "tune", None) is not None
            typed = expectations("race --on" if raced else "train", self.expect)
            return of_study(_require((*asked.expect, *typed)), entry), [str(path)]
        config: Any = load(schema_for(command), str(path / "config.yaml"))
        claims = _require((*config.expect, *expectations(command, self.expect)))
        if command == "train":
            return of_trainings(claims, [entry]), [str(path)]
        asked = config.model_copy(update={"expect": claims})
        return of_paths(asked, entry.rows(), entry.manifest.get("results", {})), [str(path)]

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


def _paths(settings: "OptimizeConfig") -> "list[ClaimResult]":
    from optilab.verbs.paths import follow, judge

    asked = settings.model_copy(update={"expect": _require(settings.expect)})
    return judge(asked, follow(asked))


def _require(claims: Sequence[Any]) -> Sequence[Any]:
    """Each claim once. UsageError without one."""
    if not claims:
        raise UsageError("no claim to judge: add `expect:` to the config, or --expect 'val_acc > 0.8'")
    return tuple(dict.fromkeys(claims))


def _failed(target: str, error: OptilabError, seconds: float = 0.0) -> "Checked":
    from optilab.console.claims import Checked

    return Checked(target, (), seconds, error)
