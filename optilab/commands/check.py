"""`optilab check`: checks claims about results."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc
from pydantic import Field

from optilab import runs
from optilab.annotations import Argument, Flag
from optilab.answer.answer import STYLES, SimpleAnswer, annotate, claim_lines, claim_sentence
from optilab.config import presets
from optilab.config.claims import CheckFile, Claim, ClaimsEntry, expectations
from optilab.config.load import STUDIES, at_place, command_of, load, read
from optilab.config.section import dump, handling_user_code, schema_for
from optilab.config.study import NETWORK_OPTIMIZERS, RaceConfig, SweepConfig
from optilab.config.tree import Override, Tree
from optilab.errors import (
    ConfigError,
    ExitCode,
    OptilabError,
    RunError,
    UsageError,
    shown,
)
from optilab.request import studies
from optilab.request.options import Expect, FolderOptions, JobOptions, SilentOptions
from optilab.request.request import Place
from optilab.show import terminal
from optilab.show.junit import Suite, TestCase, xml
from optilab.show.table import Column, Table
from optilab.words import listed, plural, some

if TYPE_CHECKING:
    from optilab.judge.claims import ClaimResult, Results
    from optilab.study.study import StudySpec


class CheckClaims(JobOptions, FolderOptions, SilentOptions):
    """Run configs, or read runs and studies, and judge the claims about them: one line per claim."""

    EXAMPLES = (
        "optilab check my.yaml --out results.xml",
        "optilab check latest --expect 'val_acc > 0.8'",
        "optilab check claims.yaml --slow --json",
    )

    targets: Annotated[
        list[str],
        Argument("FILE|RUN|STUDY...", complete="run_or_preset"),
        Doc("Configs with `expect:`, files of claims, runs, studies"),
    ] = Field(init=False)
    expect: Expect = None
    slow: Annotated[bool, Doc("Also check entries marked slow (claims files only)")] = False
    only: Annotated[
        str,
        Flag("PATTERN"),
        Doc("Check only entries whose name matches PATTERN, for example 'README*' (claims files only)"),
    ] = "*"
    junit: Annotated[
        str | None, Flag("FILE.xml", names=("--out",), path=True), Doc("Write the results as JUnit XML")
    ] = None

    def run(self, place: Place) -> SimpleAnswer:
        """Check and show one target after another; an error of one leaves the others."""
        kinds = {_kind(target) for target in self.targets}
        for name, (taken_by, what) in APPLIES.items():
            if name in self.arguments and not kinds & {"", *taken_by}:
                raise UsageError(f"applies to {what}, not to {listed(self.targets)}", self.flag(name))
        for target in self.targets:
            if re.search(r"\w *[<>=]", target) and not Path(target).exists():
                raise UsageError(f"expected a file, a run or a study, got the claim {target!r}")
        junit = None if self.junit is None else runs.output_file(self.junit, (".xml",), "--out")
        checked: list[CheckedTarget] = []
        for target in self.targets:
            for each in Checker(self, place).checks(target):
                checked.append(each)
                _show(each, place.silent, self.quiet)
        if junit is not None:
            runs.write_atomic(junit, xml([each.suite() for each in checked]))
        errors = [each.error for each in checked if each.error is not None]
        if errors and place.library and not any(each.judged for each in checked):
            raise errors[0]
        holds = all(claim.holds for each in checked for claim in each.judged)
        code = errors[0].code if errors else ExitCode.OK if holds else ExitCode.EXPECTATION
        summary = _summary(checked)
        rows = [{"target": each.target, **claim.document()} for each in checked for claim in each.judged]
        lines: list[Any] = [summary]
        if place.library:
            lines += [f"{each.target}: {each.error}" for each in checked if each.error is not None]
            lines += [Table([Column(key, key, left=True) for key in rows[0]], rows)] if rows else []
        return SimpleAnswer(
            lines,
            {"summary": summary, "checks": [each.document() for each in checked]},
            code=code,
        )


APPLIES: Mapping[str, tuple[Sequence[str], str]] = {
    "slow": (["check"], "a file of claims"),
    "only": (["check"], "a file of claims"),
    "jobs": (["check", "train", *STUDIES], "a file of claims, a training and a study"),
}
"""The options that not every target takes: the kinds that do, and their name."""


def _kind(target: str) -> str:
    """The command of a config or a study's file, `run` for a run or a study, nothing for a file that cannot be read,
    which is refused in its turn."""
    if not (target.endswith((".yaml", ".yml")) or Path(target).is_file()):
        return "run"
    with suppress(OptilabError):
        return command_of(target)
    return ""


# --- what is judged ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckedTarget:
    """One target of `optilab check`: a file, a run or a study, or an entry of a file of claims."""

    target: str
    judged: "Sequence[ClaimResult]" = ()
    runs: Sequence[str] = ()
    """The directories that were made or read."""
    errors: Sequence[OptilabError] = ()
    """Errors because of which claims of the target were not checked."""
    seconds: float = 0.0

    @property
    def error(self) -> OptilabError | None:
        """All errors as one error; None if there are none."""
        if len(messages := dict.fromkeys(map(str, self.errors))) > 1:
            return UsageError("\n".join(messages))
        return next(iter(self.errors), None)

    def document(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "runs": list(self.runs),
            "claims": [result.document() for result in self.judged],
            **({"error": self.error.document()} if self.error else {}),
        }

    def suite(self) -> Suite:
        """A test suite of JUnit with a case per claim; `cannot tell` is a failure of that type."""
        cases = [
            TestCase(
                f"{result.of}: {result.claim}" if result.of else result.claim,
                claim_sentence(result),
                "" if result.holds else result.result,
            )
            for result in self.judged
        ]
        if self.error:
            cases.append(TestCase("run", str(self.error), type(self.error).__name__, True))
        return Suite(self.target, cases, self.seconds)


class TrialsFailed(OptilabError):
    code = ExitCode.PARTIAL


@dataclass(frozen=True)
class Question:
    """Claims, and the result that they are about."""

    claims: Sequence[Claim]
    results: "Results"
    path: Path | None = None
    """The directory that was made or read."""
    errors: Sequence[OptilabError] = ()
    """Errors because of which other claims cannot be checked."""


@dataclass(frozen=True)
class Checker:
    """Checks the claims of targets, with the options that all targets share."""

    request: CheckClaims
    place: Place

    @property
    def expect(self) -> Sequence[str]:
        return tuple(self.request.expect or ())

    def checks(self, target: str) -> Iterator[CheckedTarget]:
        """The checked claims of a target; those of a file of claims one command at a time."""
        try:
            if _kind(target) == "run":
                for path in runs.select(self.place.folder, [target]):
                    yield _judged(runs.name_of(path), partial(self._read, path))
                return
            kind = command_of(target)
            if kind != "check":
                yield _judged(target, partial(self._config, kind, target, ()))
                return
            tree = read(presets.find("", target))
            file = load(CheckFile, tree)
        except OptilabError as error:
            yield CheckedTarget(target, errors=[error])
            return
        chosen, named = file.select(self.request.slow, self.request.only), file.select(True, self.request.only)
        if not chosen:
            condition = "" if self.request.slow else " that is not slow"
            names = some([" ".join(entry.name.split()) for entry in file.checks], 5)
            text = f"no check{condition} has a name like {shown(self.request.only)}; the file has {names}"
            yield CheckedTarget(target, errors=[UsageError(text, "--only")])
            return
        if left := len(named) - len(chosen):
            terminal.note(f"{target}: {plural(left, 'slow check')} left out; --slow runs them, too")
        for number, entry in chosen:
            yield _judged(entry.name, partial(self._entry, entry, tree, number))

    def _entry(self, check: ClaimsEntry, tree: Tree, number: int) -> Question:
        try:
            if check.run is not None:
                return self._read(runs.locate(self.place.folder, check.run), dump(check)["expect"])
            changes = [Override(f"set {key}", key, value) for key, value in check.set.items()]
            return self._config(check.command, check.target, changes, dump(check)["expect"])
        except (UsageError, RunError) as error:
            at = ("checks", number)
            raise at_place(error, tree, at, (*at, check.command)) from None

    def _config(self, kind: str, source: Any, changes: Sequence[Override], texts: Sequence[Any] = ()) -> Question:
        """Run a command on its source, with its claims, those of its entry and those of `--expect`."""
        claimed = [
            Override(where, "expect", list(added), adds=True)
            for where, added in (("expect", texts), ("--expect", self.expect))
            if added
        ]
        if kind == "optimize":
            from optilab.config.optimize import OptimizeConfig
            from optilab.study.paths import follow, results_of

            config = load(OptimizeConfig, source, [*changes, *claimed])
            return Question(_require(config.expect), results_of(config, follow(config)))
        if kind == "lr":
            return self._rate(source, changes, [*texts, *self.expect])
        if kind == "race":
            if changes:
                raise UsageError("a race has no settings to set", "set")
            return self._race(source, claimed)
        return self._study(kind, source, changes, claimed)

    def _rate(self, source: Any, changes: Sequence[Override], texts: Sequence[str]) -> Question:
        from optilab.commands.lr import range_test
        from optilab.config.training import TrainConfig
        from optilab.data import fetch
        from optilab.judge.claims import require_judgeable, results_of_rate
        from optilab.study.rates import rate_ramp

        claims, config = _require(expectations("lr", texts)), load(TrainConfig, source, changes)
        require_judgeable(claims, [config.name])
        dataset = fetch.load_or_fetch(*config.data.source)
        test = range_test(config, rate_ramp(config.optimizer), dataset, self.place.silent)
        return Question(claims, results_of_rate(test.rate, config.name))

    def _race(self, source: Any, claimed: Sequence[Override]) -> Question:
        from optilab.commands.race import RunRace, race_on_functions
        from optilab.study.function_race import results_of_race

        request = RunRace(**dict(load(RaceConfig, source, claimed)))
        claims = _require(request.expect)
        place = Place(self.place.folder, (), self.place.silent, library=True)
        answer: Any = race_on_functions(request, place)
        return Question(claims, results_of_race(answer.race))

    def _study(self, kind: str, source: Any, changes: Sequence[Override], claimed: Sequence[Override]) -> Question:
        """The study that a training, a sweep, remedies or a benchmark mean."""
        from optilab.config.training import TrainConfig
        from optilab.study import benchmark, remedy, sweep
        from optilab.study.results import results_of_study

        if kind == "train":
            trained = load(TrainConfig, source, [*changes, *claimed])
            spec: StudySpec = sweep.spec_of(SweepConfig(config=trained), alone=True)
        else:
            if kind == "benchmark" and isinstance(source, dict):
                source = {"algos": [*NETWORK_OPTIMIZERS], **source}
            plans: Any = {"sweep": sweep, "remedy": remedy, "benchmark": benchmark}[kind]
            spec = plans.spec_of(load(schema_for(kind), source, claimed), changes)
        claims = _require(spec.request.expect)
        jobs = JobOptions.of({"jobs": self.request.jobs})
        ran = studies.run(spec, runs.new_name(f"{spec.name}-check"), jobs, self.place)
        if failed := next((outcome for outcome in ran.all if outcome.failed), None):
            raise TrialsFailed(f"{failed.trial.name} failed: {failed.reason}", str(ran.path))
        return Question(claims, results_of_study(runs.read_study(ran.path)), ran.path)

    def _read(self, path: Path, texts: Sequence[Any] = ()) -> Question:
        from optilab.answer.results import LabRun
        from optilab.config.optimize import OptimizeConfig
        from optilab.judge.claims import results_of_paths, results_of_training
        from optilab.judge.groups import request_of, settings
        from optilab.study.function_race import results_of_race
        from optilab.study.results import results_of_study

        entry = runs.read_entry(path)
        command = entry.manifest["command"]
        if command not in ("train", "watch", "sweep", "benchmark", "remedy", "optimize", "race"):
            expected = "expected a run of optimize, race, train, sweep, benchmark or remedy"
            raise UsageError(f"{expected}, got one of {shown(command)}")
        if isinstance(entry, runs.Study):
            entry.require_unedited()
            written = request_of(entry)
            kind, results = "benchmark" if command == "benchmark" else "train", results_of_study(entry)
        elif command == "optimize":
            with handling_user_code("recorded"):
                config = load(OptimizeConfig, str(path))
            kind, written = command, dump(config)
            results = results_of_paths(config, entry.rows(), entry.manifest.get("results", {}))
        elif isinstance(entry, runs.Record) and entry.is_race:
            race = LabRun(entry).race.race
            kind, written, results = command, {"expect": race.conditions.expect}, results_of_race(race)
        else:
            kind, written, results = "train", settings(entry), results_of_training(entry)
        claims = [*expectations(kind, written.get("expect", ())), *expectations(kind, texts)]
        errors = list[OptilabError]()
        for text in self.expect:
            try:
                claims += expectations(kind, [text])
            except ConfigError as error:
                errors.append(error)
        return Question(claims if errors else _require(claims), results, path, errors)


def _require(claims: Sequence[Claim]) -> Sequence[Claim]:
    """The claims, without repetitions. UsageError if there are none."""
    if not claims:
        raise UsageError("no claim to check: expected `expect:` in the config, or --expect 'val_acc > 0.8'")
    return tuple(dict.fromkeys(claims))


def _judged(target: str, ask: Callable[[], Question]) -> CheckedTarget:
    """The checked claims of a target, with the time that they took; an error of one leaves the others."""
    from optilab.judge.claims import judge_claims

    started, judged, errors, paths = perf_counter(), list["ClaimResult"](), list[OptilabError](), list[str]()
    try:
        question = ask()
        errors += question.errors
        paths += [str(question.path)] if question.path else []
        for claim in question.claims:
            try:
                judged += judge_claims([claim], question.results)
            except OptilabError as error:
                errors.append(error)
    except OptilabError as error:
        errors.append(error)
    return CheckedTarget(target, judged, paths, errors, perf_counter() - started)


# --- what is shown -----------------------------------------------------------------------------------------


def _show(checked: CheckedTarget, silent: bool, quiet: bool) -> None:
    """Show a checked target: one line per claim, and each claim that does not hold as an annotation.

    With `quiet` only those that do not hold, on stderr.
    """
    lines: list[tuple[str, str]] = list(
        zip(claim_lines(checked.judged), (outcome.result for outcome in checked.judged), strict=True)
    )
    if checked.error is not None:
        message = str(checked.error).replace("\n", f"\n{'':16}")
        lines.append((f"{'error':11}   {message}", "error"))
    target = " ".join(checked.target.split())  # one line, whatever a file names its claims
    if not silent:
        terminal.say(target, "bold")
        for line, result in lines:
            terminal.say(f"  {line}", STYLES[result])
        for run in checked.runs:
            if runs.name_of(Path(run)) != checked.target:
                terminal.say(f"  {run}")
    failed = [f"{target}: {claim_sentence(outcome)}" for outcome in checked.judged if not outcome.holds]
    failed += [f"{target}: error: {checked.error}"] if checked.error is not None else []
    if quiet:
        for text in failed:
            terminal.note(text)
    annotate(failed)


def _summary(checked: Sequence[CheckedTarget]) -> str:
    """`7 claims: 5 hold, 1 fails, 1 cannot tell; 1 error`."""
    results: list[str] = [outcome.result for target in checked for outcome in target.judged]
    words = {"holds": ("holds", "hold"), "fails": ("fails", "fail"), "cannot tell": ("cannot tell",) * 2}
    counts = {result: results.count(result) for result in words}
    parts = [f"{n} {words[result][n != 1]}" for result, n in counts.items() if n]
    errors = sum(target.error is not None for target in checked)
    text = f"{plural(len(results), 'claim')}: {', '.join(parts) or 'none judged'}"
    return text + (f"; {plural(errors, 'error')}" if errors else "")


COMMAND = CheckClaims
