"""`optilab verify`: your implementation next to a rule."""

import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import signals
from optilab.call import Call, Command
from optilab.commands.answer import Answer, Block, Sentence, lines_of
from optilab.commands.options import SetOptions, SilentOptions
from optilab.commands.paths import read_function
from optilab.commands.request import Place
from optilab.config.load import load
from optilab.config.presets import is_config, usual_settings
from optilab.config.tree import Override
from optilab.errors import ExitCode, UsageError, printable, shown
from optilab.marks import Argument, ConfigKey, Flag, Read
from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.own import UserRule, rule_class, user_code
from optilab.optimize.rule import is_formula, settings_of, with_settings
from optilab.show import terminal
from optilab.show.junit import Suite, TestCase, xml
from optilab.show.table import FORMATS, Column, Table
from optilab.verify import submissions
from optilab.words import listed, plural

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.show.chart import Chart
    from optilab.verify import candidate as candidates
    from optilab.verify.grade import Verdict
    from optilab.verify.remote import Warden

SHOWN = 40
"""Steps of the two paths in a picture."""


class Verify(SetOptions, SilentOptions):
    """Compare your implementation of an optimizer with optilab's."""

    EXAMPLES = (
        "optilab verify my_adam.py --against adam",
        "optilab verify 'submissions/*.py:Adam' --against adam --points equal=10,explained=6 --format csv",
        "optilab verify 'submissions/**/*.ipynb' --against adam --feedback feedback",
        "optilab verify my_momentum.py:step --against momentum --set algo.form=ema --json",
    )
    NOTES: ClassVar[str] = """\b
A file may define (arguments are recognized by their names):
  def momentum(w, g, lr, V, beta): return w, V
                                     its state is what it returns after w
  class Adam with update(w, g) -> w  hyperparameters in __init__
  class Rule with init(x), update(g, state)
                                     the step API of optilab.optimize
  class Mine(torch.optim.Optimizer)

Exit status 9: something differs.
"""

    candidate: Annotated[
        Any,
        Argument("FILE[:NAME]...", repeated=True),
        Doc("Your class or function, by default the only one that fits; or those of many files: '*.py:Adam'"),
    ] = None
    against: Annotated[str | None, Flag("NAME", complete="rule"), Doc("The reference optimizer")] = None
    function: Annotated[
        Any,
        ConfigKey("function"),
        Read(read_function),
        Flag("NAME|FORMULA", complete="objective"),
        Doc("With a file: compare on this function only"),
    ] = None
    epochs: Annotated[Any, ConfigKey("epochs"), Flag("N"), Doc("With a file: steps to compare")] = None
    timeout: Annotated[
        float,
        Ge(0.1),
        Le(86_400),
        Flag("SECONDS"),
        Doc("With a file: limit of one step, in seconds of CPU time or of waiting"),
    ] = 10.0
    memory: Annotated[int, Ge(512), Flag("MIB"), Doc("With many files: memory limit of each")] = 4096
    points: Annotated[
        str | None,
        Flag("VERDICT=N,..."),
        Doc("With many files: points for equal, explained, differs, timeout, error"),
    ] = None
    feedback: Annotated[
        str | None, Flag("DIR"), Doc("With many files: write a text for each student into this new directory")
    ] = None
    format: Annotated[
        str,
        Flag("FORMAT", complete=",".join((*FORMATS, "junit"))),
        Doc("With many files: output format (table, csv, markdown, latex, junit or json)"),
    ] = "table"

    def run(self, place: Place) -> "LabVerification | Grades":
        """The verdict on one implementation, or a row for each of many."""
        if str(self.against).lower() in ("torch", "pytorch", "torch.optim", "optax"):
            raise UsageError(f"expected an optimizer, got {self.against}", self.flag("against"))
        if self.candidate in (None, []):
            raise UsageError("verify needs a file with your optimizer: FILE.py:NAME")
        given = self.candidate if isinstance(self.candidate, list) else [self.candidate]
        first, against = given[0] if isinstance(given[0], str) else "", str(self.against)
        if first in RULES and len(given) == 1 and (".py" in against or ":" in against):
            raise UsageError(f"expected an optimizer, got {shown(against)}", self.flag("against"))
        exam: Any = Exam.of(self) if self.against else None
        if not all(isinstance(one, str) or callable(one) for one in given):
            raise UsageError(
                f"expected a class, a function or FILE.py:NAME, got {shown(self.candidate)}", "candidate"
            )
        specs = [one for one in given if isinstance(one, str)]
        several_files = len(specs) > 1 or any(map(submissions.is_pattern, specs))
        configs = (one for one in specs if is_config(one) and not one.endswith(submissions.NOTEBOOK))
        if config := next((one for one in configs if Path(one).is_file()), None):
            raise UsageError(f"{config} is a config; expected FILE.py:NAME")
        ours = [one for one in specs if one in RULES]
        named = [one for one in specs if one not in RULES]
        if ours and not named:
            raise UsageError(f"expected FILE.py:NAME, got {listed(ours)}")
        for file, name in map(submissions.split, () if several_files else specs):
            if file.endswith(".py"):
                user_code(f"{file}:{name or 'NAME'}")
        if ours or self.against is None:
            raise UsageError("a file needs the optimizer to compare it with (--against)")
        if directories := [one for one in specs if Path(one).is_dir()]:
            raise UsageError(f"expected files, got the directory {listed(directories)}")
        if several_files:
            return _grade_all(self, exam, specs, place)
        if several := [f"--{name}" for name in ("points", "feedback", "format", "memory") if name in self.given]:
            needs = "need" if several[1:] else "needs"
            raise UsageError(f"{listed(several)} {needs} several files")
        candidate = given[0]
        if place.library or not hasattr(os, "fork"):
            if isinstance(candidate, str) and candidate.endswith(".py"):
                from optilab.verify.candidate import find_optimizer

                candidate = find_optimizer(Path(candidate), exam.rule.name)
            from optilab.verify import candidate as candidates

            own = candidates.load(candidate)
            return LabVerification(own.name, exam, exam.grade(own), own, rule_class(candidate))
        file, name = submissions.split(candidate)
        from optilab.verify.remote import Warden

        with signals.without_sigpipe(), Warden() as warden:  # a submission may close its end
            return _verify_one(warden, file, name, exam, self)


def _verify_one(warden: "Warden", file: str, name: str, exam: "Exam", request: Verify) -> "LabVerification":
    """One file, in a process of its own; what it prints goes to stderr."""
    from optilab.verify.remote import Limits

    submission = None
    path = Path(file)
    with tempfile.TemporaryDirectory(prefix="optilab-") as directory:
        if path.suffix == submissions.NOTEBOOK:
            path = Path(directory, f"{path.stem}.py")
            submissions.write_source(Path(file), path)
        try:
            with warden.running(
                path, name, file, Limits(request.timeout), isolated=False, like=exam.rule.name
            ) as submission:
                candidate = submission.load()
                verdict = exam.grade(candidate)
        except UsageError as error:  # names the notebook, not the file with its code
            error.args = (str(error).replace(str(path), file).replace(path.name, Path(file).name),)
            raise
        finally:
            if submission is not None and submission.output:
                terminal.note(f"what {file} printed, its last characters:")
                sys.stderr.write(submission.output)
    return LabVerification(
        candidate.name.replace(path.name, Path(file).name),
        exam,
        verdict,
        function=request.function,
    )


# --- one implementation -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exam:
    """What a candidate is compared with: the rule, where and for how long, as the options of `verify` ask for."""

    config: "OptimizeConfig"
    other: Any
    """The rule with other settings that are right, too; the same where there are none."""
    named: str
    """What these are called."""
    chosen: frozenset[str]
    """The keys that were set."""

    @classmethod
    def of(cls, request: Verify) -> "Exam":
        """ConfigError for a rule that does not exist, and for settings that it does not have.

        UsageError for a function, or something around the rule, where it works on matrices.
        """
        from optilab.config.optimize import OptimizeConfig
        from optilab.verify.candidate import STEPS

        changes, spec = request.changes, str(request.against).strip()
        asked = [
            Override("--against", "algo", spec.lower() if spec.lower() in RULES else spec),
            *(Override("--against", f"algo.{name}", value) for name, value in usual_settings(spec).items()),
            Override("--epochs", "epochs", STEPS),
            *changes,
        ]
        config = load(OptimizeConfig, None, asked, rules="literature")
        rule: Any = config.algo[0]
        other, named = load(OptimizeConfig, None, asked).algo[0], "the published exercise's settings"
        chosen = frozenset(change.key for change in changes)
        if rule.weights == "matrices":
            beside = sorted(
                key for key in chosen if not key.startswith(("algo.", "weight_decay")) and key != "epochs"
            )
            regime = config.regime
            decays = hasattr(rule, "weight_decay") and regime.weight_decay_form == "decoupled"
            if regime.weight_decay and not decays:
                beside.append("weight_decay, which is not its own")
            if rule.needs:
                beside.append(f"the {rule.name} around it")
            if beside:
                what = f"{rule.name} works on weight matrices, and is compared on matrices of its own"
                raise UsageError(f"{what}, without {', '.join(beside)}")
        if hasattr(rule, "precision") and "algo.precision" not in chosen:  # NumPy has no bfloat16
            rule, named = replace(rule, precision="full"), "the iteration as on tensors"
            config = config.model_copy(update={"algo": (rule,)})
        return cls(config, other, named, chosen)

    @property
    def rule(self) -> Any:
        return self.config.algo[0]

    def grade(self, candidate: "candidates.Candidate") -> "Verdict":
        """Both followed step by step. UsageError where the candidate's code fails."""
        from optilab.verify.grade import grade
        from optilab.verify.paths import StartingPoint

        config, keys = self.config, self.chosen
        chosen = keys & {"function", "start"} or any(key.startswith("function.") for key in keys)
        place = StartingPoint(config.function, tuple(config.start or config.function.start))
        return grade(
            candidate,
            self.rule,
            [place] if chosen else (),
            config.epochs,
            config.regime,
            [key.removeprefix("algo.") for key in keys if key.startswith("algo.")],
            self.other if self.other != self.rule else None,
            self.named,
        )


@dataclass(frozen=True, repr=False)
class LabVerification(Answer):
    """Whether an implementation is the rule that it is meant to be."""

    label: str
    exam: Exam
    verdict: "Verdict"
    candidate: "candidates.Candidate | None" = None
    """The code, where it runs in this process."""
    kind: type[UserRule] | None = None
    """Its class as a rule."""
    function: Any = None
    """The function, where one was chosen."""

    @property
    def equal(self) -> bool:
        """Whether the candidate is the rule."""
        return self.verdict.equal

    @property
    def explanation(self) -> tuple[str, ...]:
        """What turns the rule into the candidate; empty where they are equal, or nothing known does."""
        return self.verdict.explanation

    @property
    def code(self) -> ExitCode:
        return ExitCode.OK if self.equal else ExitCode.EXPECTATION

    @property
    def headline(self) -> str:
        return f"{self.label} against {self.exam.rule.name}: {outcome(self.verdict)}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The point of both after the first step at which they differ, a row per coordinate; none where none does."""
        verdict = self.verdict
        if verdict.point is None or verdict.expected is None:
            return []
        pairs = enumerate(zip(verdict.point, verdict.expected, strict=True), 1)
        return [
            {"step": verdict.first_step, "coordinate": f"w{i}", "yours": own, self.exam.rule.name: expected}
            for i, (own, expected) in pairs
        ]

    def table(self) -> Table:
        shown, verdict = super().table(), self.verdict
        fixed = [f"your code takes no {', '.join(verdict.fixed)}: written in"] if verdict.fixed else []
        fixed += [self._unchecked] if verdict.unchecked else []
        why = [f"explained by: {reason}" for reason in verdict.explanation]
        settings = [f"equal with {', '.join(verdict.equal_with)}"] if verdict.equal_with else []
        by_hand = [self._by_hand] if self._by_hand else []
        return Table(shown.columns, shown.rows, [self._rule.formula, *fixed, *why, *settings, *by_hand])

    def chart(self) -> "Chart":
        """The two paths where they differ first, or on the first function."""
        from optilab.commands.charts.paths import paths_chart
        from optilab.optimize import descend

        verdict, config = self.verdict, self.exam.config
        on_matrices = self.exam.rule.weights == "matrices"
        if self.candidate is None or self.kind is None or on_matrices:
            return super().chart()
        own = verdict.function in (None, config.function.name)
        objective = config.function if own else OBJECTIVES[str(verdict.function)]()
        start = verdict.start or config.start or objective.start
        rule = with_settings(self.exam.rule, verdict.settings)
        rules = {rule.name: rule, self.label: self.kind(**self.candidate.values(verdict.settings))}
        steps = min(verdict.steps, SHOWN)
        paths = {
            name: descend(rule, objective, start, steps, regime=config.regime) for name, rule in rules.items()
        }
        return paths_chart(objective, paths)

    def document(self) -> dict[str, Any]:
        facts = {"candidate": self.label, "against": self.exam.rule.name, "equal": self.equal}
        return {**facts, **asdict(self.verdict)}

    def blocks(self) -> Iterator[Block]:
        """Whether the candidate is the rule; else where they part, by how much, and why."""
        verdict, rule = self.verdict, self.exam.rule
        places = ", ".join(verdict.functions)
        yield Sentence(f"{self.label} against {rule.name}, {plural(verdict.steps, 'step')} on {places}", "bold")
        yield "   ".join(f"{key} {value:g}" for key, value in verdict.settings.items())
        yield self._rule.formula
        if verdict.fixed:
            yield f"your code takes no {', '.join(verdict.fixed)}: written in, and compared as above"
        if verdict.unchecked:
            yield self._unchecked
        yield ""
        yield Sentence(outcome(verdict), "green" if verdict.equal else "red")
        if verdict.point is None or verdict.expected is None:
            return
        points = (("yours", verdict.point), (rule.name, verdict.expected))
        cells = [[who, *(f"{value:.12g}" for value in point[:6])] for who, point in points]
        yield terminal.grid(["", *(f"w{i + 1}" for i in range(len(cells[0]) - 1))], cells)
        yield ""
        finite = all(map(isfinite, verdict.point))
        if not finite:
            guess = "^t" in rule.formula and not verdict.explanation
            counts = "; where it divides by 1 - beta^t, t begins with 1" if guess else ""
            yield f"your code returns nan or inf at step {verdict.first_step}{counts}"
        if verdict.explanation:
            yield Sentence("explained by:", "bold")
            yield from (f"  {reason}" for reason in verdict.explanation)
        elif finite:
            above = "formula above, term by term" if rule.name in RULES else "two codes line by line"
            yield f"no known convention or slip explains it: check the {above}"
        if verdict.equal_with:
            yield "equal with " + " ".join(f"--set {setting}" for setting in verdict.equal_with)
        if self._by_hand:
            yield self._by_hand

    @property
    def _rule(self) -> Any:
        """The form of the rule that the verdict is about."""
        return self.exam.other if self.verdict.reading else self.exam.rule

    @property
    def _unchecked(self) -> str:
        names, several = listed(self.verdict.unchecked), len(self.verdict.unchecked) > 1
        what = "them only your defaults were" if several else "it only your default was"
        return f"{self.exam.rule.name} has no {names}: of {what} compared"

    @property
    def _by_hand(self) -> Command | None:
        """The `explain` that calculates with the numbers of the comparison; --algo alone would take the preset's."""
        from optilab.config.optimize import OptimizeConfig

        rule, verdict = self.exam.rule, self.verdict
        if verdict.start is None:
            return None
        named = [] if is_formula(rule.name) else [Override("--algo", "algo", rule.name)]
        known = settings_of(load(OptimizeConfig, None, named).algo[0]) if named else {}
        compared = settings_of(with_settings(rule, verdict.settings))
        changed = {f"algo.{key}": value for key, value in compared.items() if value != known.get(key)}
        options = {"algo": rule.name, "function": self.function or verdict.function}
        options |= {"start": tuple(map(float, verdict.start)), "set": changed, "step": verdict.first_step}
        return Command("the numbers of the step: ", Call("explain", options=options))


def outcome(verdict: "Verdict") -> str:
    """Whether the two are equal; else from which step on they differ, by how much and where."""
    from optilab.verify.paths import TOLERANCE as AGREEMENT

    if verdict.equal:
        reading = f", with {verdict.reading}" if verdict.reading else ""
        but = f"; on a bias it {verdict.on_biases}" if verdict.on_biases else ""
        return f"equal to {AGREEMENT:g} at every step{' on matrices' if but else ''}{reading}{but}"
    assert verdict.difference is not None
    finite = isfinite(verdict.difference)
    far = f"by {verdict.difference:.3g} of the path's size" if finite else "where it is not finite"
    if verdict.start is None:
        return f"differs from step {verdict.first_step} on, {far} ({verdict.function}, its numbers row by row)"
    start = ", ".join(f"{value:g}" for value in verdict.start)
    still = "; your code returns w as it was given" if verdict.point == verdict.start else ""
    return f"differs from step {verdict.first_step} on, {far} ({verdict.function} from ({start})){still}"


# --- many implementations -----------------------------------------------------------------------------------


def _grade_all(request: Verify, exam: Any, specs: Sequence[str], place: Place) -> "Grades":
    """Grade many submissions."""
    from optilab.verify.remote import Limits, closed_memory

    found = submissions.files(specs)
    points = submissions.read_points(request.points)
    folder = _feedback_folder(request)
    limits, jobs = Limits(request.timeout, request.memory), max(1, (os.cpu_count() or 2) // 2)
    rows = submissions.grade_all(found, exam.grade, limits, points, min(jobs, len(found)), exam.rule.name)
    with closed_memory(not place.library), signals.without_sigpipe():
        graded = list(_with_progress(rows, len(found)))
    grades = Grades(graded, exam, all(found.values()))
    if folder is not None:
        grades.write_feedback(folder)
        return replace(grades, written=(str(folder),))
    return grades


def _with_progress(rows: "Iterable[submissions.Graded]", count: int) -> "Iterator[submissions.Graded]":
    """Pass rows through; say how many there are, in a pipe every ten seconds and, after that, at the end."""
    last, told = time.monotonic(), False
    slow = f"grading {plural(count, 'submission')}: the first takes long on a busy machine"
    with terminal.err.status(f"grading {count} submissions") as status, ExitStack() as waiting:
        waiting.enter_context(terminal.after_silence(slow))
        for number, row in enumerate(rows, 1):
            waiting.close()
            yield row
            status.update(f"graded {number} of {count}")
            if not terminal.err.is_terminal and time.monotonic() - last > (0 if told and number == count else 10):
                last, told = time.monotonic(), True
                terminal.note(f"graded {number} of {count}")


def _feedback_folder(request: Verify) -> Path | None:
    """The directory for feedback, made; UsageError where it has anything in it."""
    if request.feedback is None:
        return None
    folder, wrong = Path(request.feedback), ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wrong = "is not empty" if any(folder.iterdir()) else ""
    except FileExistsError:
        wrong = "is a file"
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}", request.flag("feedback")) from None
    if wrong:
        raise UsageError(f"expected a new directory, got {folder}, which {wrong}", request.flag("feedback"))
    return folder


@dataclass(frozen=True, repr=False)
class Grades(Answer):
    """Many submissions, a row each."""

    graded: Sequence[submissions.Graded]
    exam: Exam
    named: bool
    """Whether the name was given, and need not be said."""
    written: Sequence[str] = ()

    @property
    def against(self) -> str:
        """The rule's name."""
        return str(self.exam.rule.name)

    @property
    def headline(self) -> str:
        counts = Counter(row.verdict for row in self.graded)
        summary = ", ".join(f"{counts[name]} {name}" for name in submissions.VERDICTS if counts[name])
        return f"{plural(len(self.graded), 'submission')} against {self.against}: {summary}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{key: value for key, value in vars(row).items() if key != "compared"} for row in self.graded]

    @property
    def code(self) -> ExitCode:
        equal = all(row.verdict == "equal" for row in self.graded)
        return ExitCode.OK if equal else ExitCode.EXPECTATION

    def table(self) -> Table:
        """An explanation of several lines is one line."""
        columns = (
            Column("submission", "submission", left=True),
            *([] if self.named else [Column("name", "name", left=True)]),
            Column("verdict", "verdict", left=True),
            Column("points", "points", lambda value: f"{value:g}"),
            Column("first_step", "first step"),
            Column("function", "on", left=True, detail=1),
            Column("explanation", "explanation", left=True),
        )
        return Table(columns, [row | {"explanation": " ".join(row["explanation"].split())} for row in self.rows])

    def blocks(self) -> Iterator[Block]:
        yield from (self.table(), "", self.headline)

    def write(self, format: str) -> None:
        if format != "junit":
            super().write(format)
            return
        cases = [
            TestCase(
                row.submission,
                row.explanation,
                "" if row.verdict == "equal" else row.verdict,
                row.verdict in ("timeout", "error"),
            )
            for row in self.graded
        ]
        seconds = sum(row.seconds for row in self.graded)
        sys.stdout.write(xml([Suite(f"verify against {self.against}", cases, seconds)]).decode())

    def document(self) -> dict[str, Any]:
        counts = Counter(row.verdict for row in self.graded)
        return {"against": self.against, "summary": dict(counts), "submissions": self.rows}

    def short(self) -> tuple[()]:
        return ()

    def write_feedback(self, folder: Path) -> None:
        """A text for each submission, at its path below the directory that all have in common."""
        files = [Path(row.submission).absolute() for row in self.graded]
        common = Path(os.path.commonpath([file.parent for file in files]))
        for row, file in zip(self.graded, files, strict=True):
            target = folder / file.relative_to(common)
            target.parent.mkdir(parents=True, exist_ok=True)
            target = target.with_name(f"{target.name}.txt")
            target.write_text("\n".join([*self._feedback(row), ""]), encoding="utf-8")

    def _feedback(self, row: submissions.Graded) -> Iterator[str]:
        yield f"{row.verdict}: {row.points:g} point{'s' * (row.points != 1)}"
        yield ""
        if row.compared is None:
            yield re.sub(r" \(--\w+\)", "", row.explanation)  # options are the grader's
        else:
            label = f"{Path(row.submission).name}:{row.name}"
            yield from map(printable, map(str, lines_of(LabVerification(label, self.exam, row.compared).blocks())))
        if row.output:
            yield from ("", "What your code printed:", row.output)


COMMAND = Verify
