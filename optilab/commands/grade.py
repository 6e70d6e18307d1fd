"""`optilab grade`: compares many implementations with optimizers, a row for each file."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, Le

from optilab import signals
from optilab.annotations import Argument, Flag
from optilab.answer.answer import Answer
from optilab.answer.progress import StepProgress
from optilab.answer.verification import ComparisonSetup, LabVerification
from optilab.errors import ExitCode, UsageError, printable, shown
from optilab.optimize.rule import as_function, is_formula
from optilab.request.on_functions import Against
from optilab.request.options import TableOptions
from optilab.request.request import Conflicts, Place
from optilab.show import terminal
from optilab.show.blocks import Block, lines
from optilab.show.table import Column, Table
from optilab.verify import submissions
from optilab.words import listed, plural, some


class Grade(Against, TableOptions):
    """Compare many implementations with optimizers: a row for each file, isolated from the others."""

    EXAMPLES = (
        "optilab grade 'submissions/*.py:Adam' --against adam --format csv",
        "optilab grade submissions --against sgd,adam --points 2,3 --partial 0.5",
        "optilab grade --template exercise --against sgd,adam",
        "optilab grade 'submissions/**/*.ipynb' --against adam --feedback feedback",
    )
    NOTES: ClassVar[str] = "Exit status 9: not all are equal."
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"against": ("submissions", "template"), "points": ("partial",)}
    CONFLICTS: ClassVar[Conflicts] = (
        ("submissions", "template"),
        ("points", "template"),
        ("feedback", "template"),
    )

    submissions: Annotated[
        list[str] | None,
        Argument("PATTERN[:NAME]...", repeated=True, path=True),
        Doc("Files, patterns or directories; NAME: the class or function, by default the only one that fits"),
    ] = None
    against: Annotated[
        str | None,
        Flag("NAME,...", complete="rule"),
        Doc("The reference optimizers; of several each is compared with the class or function of its name"),
    ] = None
    memory: Annotated[int, Ge(512), Flag("MIB"), Doc("Memory limit of each process of a submission")] = 4096
    feedback: Annotated[
        str | None, Flag("DIR", path=True), Doc("Write a text for each student into this new directory")
    ] = None
    points: Annotated[
        Any, Flag("N,..."), Doc("Points of each optimizer for an equal submission, and their sum")
    ] = None
    partial: Annotated[
        float, Ge(0), Le(1), Flag("FRACTION"), Doc("Fraction of the points where the verdict is `explained`")
    ] = 0.0
    template: Annotated[
        str | None, Flag("DIR", path=True), Doc("Write the file that students fill in into this new directory")
    ] = None
    no_isolation: Annotated[
        bool, Doc("Isolate nothing: a submission can read, change and delete your files, and reach the network")
    ] = False

    def run(self, place: Place) -> "Grades | Template":
        """A row for each submission."""
        if not self.submissions and self.template is None:
            raise UsageError("expected PATTERN or --template")
        files = submissions.files(self.submissions or [])
        spec = str(self.against)
        references = [spec] if is_formula(spec) else spec.split(",")
        setups = {
            (setup := ComparisonSetup.of(name, self.changes, self.flag("against"))).rule.name: setup
            for name in references
        }
        points = self._points([*setups])
        if self.template is not None:
            if beyond := [name for name, setup in setups.items() if setup.rule.needs]:
                problem = f"a function of w and g cannot take the steps of {listed(beyond)}"
                raise UsageError(f"{problem}, which need{'s' * (len(beyond) == 1)} more", self.flag("template"))
            return Template.written(self._new_directory("template"), [*setups.values()])
        if len(setups) > 1 and (named := [name for name in files.values() if name]):
            raise UsageError(f"expected files without :NAME for several optimizers, got :{named[0]}")
        if skipped := submissions.unsearched(self.submissions or []):
            terminal.note(f"not searched: {some([printable(name) for name in skipped], 5)}")
        if self.columns:
            Grades([], setups, all(files.values()), "", points, self.partial).table().choose(
                self.columns, self.flag("columns")
            )
        from optilab.verify.sandbox import ENCLOSED, Sandbox, strongest_level  # with NumPy, which no refusal needs

        level = "limits" if self.no_isolation else strongest_level()
        if level not in ENCLOSED and not self.no_isolation:
            danger = "a submission could read, change and delete your files"
            raise UsageError(
                f"nothing on this system isolates a submission; expected {' or '.join(ENCLOSED)} (Linux), "
                f"or {self.flag('no_isolation')}, with which {danger}"
            )
        directory = self._new_directory("feedback") if self.feedback is not None else None
        sandbox, jobs = Sandbox(self.timeout, self.memory, level), max(1, (os.cpu_count() or 2) // 2)
        comparisons = {name: setup.compare for name, setup in setups.items()}
        count = len(files) * len(setups)
        rows = submissions.grade_all(files, comparisons, sandbox, min(jobs, count))
        graded = list[submissions.Graded]()
        with (
            signals.without_sigpipe(),  # a submission may close its end
            StepProgress(count, False, f"grading {plural(len(files), 'submission')}") as progress,
        ):
            for row in rows:
                verdict, setup = row.compared, setups[row.against]
                known = (setup.overflow(verdict), setup.unexplained(verdict)) if verdict else ()
                graded.append(replace(row, explanation=row.explanation or "; ".join(filter(None, known))))
                progress.step(f"graded {len(graded) // len(setups)} of {len(files)}")
        grades = Grades(graded, setups, all(files.values()), sandbox.level, points, self.partial)
        if directory is not None:
            grades.write_feedback(directory)
        return grades

    def _points(self, names: Sequence[str]) -> dict[str, float]:
        """The points of each optimizer; empty where none are asked for. UsageError for any other numbers."""
        if (given := self.points) is None:
            return {}
        items = given.split(",") if isinstance(given, str) else given
        try:
            points = [float(item) for item in (items if isinstance(items, list | tuple) else [items])]
        except (TypeError, ValueError, OverflowError):
            points = []
        if len(points) != len(names) or not all(0 <= number < inf for number in points):
            expected = f"expected {plural(len(names), 'number')} >= 0, for {', '.join(names)}"
            raise UsageError(f"{expected}, got {shown(self.points)}", self.flag("points"))
        return dict(zip(names, points, strict=True))

    def _new_directory(self, option: str) -> Path:
        """The directory of an option, made; UsageError where it has anything in it."""
        directory, wrong = Path(getattr(self, option)), ""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            wrong = "is not empty" if any(directory.iterdir()) else ""
        except FileExistsError:
            wrong = "is a file"
        except OSError as error:
            raise UsageError(f"cannot make {directory}: {error.strerror}", self.flag(option)) from None
        if wrong:
            raise UsageError(f"expected a new directory, got {directory}, which {wrong}", self.flag(option))
        return directory


@dataclass(frozen=True, repr=False)
class Template(Answer):
    """The file that students fill in: a function for each optimizer."""

    file: Path
    functions: Sequence[tuple[str, str]]
    """The first and the last line of each."""

    @classmethod
    def written(cls, directory: Path, setups: Sequence[ComparisonSetup]) -> "Template":
        """The template of these optimizers, written."""
        functions = [as_function(setup.rule, setup.rule.original.name) for setup in setups]
        bodies = [f"{header}\n    # w, g: arrays\n    {end}\n" for header, end in functions]
        file = directory / "optimizers.py"
        file.write_text("\n\n".join(["import numpy as np\n", *bodies]), encoding="utf-8", newline="\n")
        return cls(file, functions)

    @property
    def headline(self) -> str:
        return f"wrote {printable(str(self.file))}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{"function": header, "end": end} for header, end in self.functions]


@dataclass(frozen=True, repr=False)
class Grades(Answer):
    """The grades of many submissions, a row for each file."""

    graded: Sequence[submissions.Graded]
    """One for each file and optimizer; those of a file follow each other."""
    setups: Mapping[str, ComparisonSetup]
    """The comparison with each optimizer, by its name."""
    named: bool
    """True if the command names the class or function, so that no column does."""
    level: str
    """The level of isolation: a key of `sandbox.LEVELS`."""
    points: Mapping[str, float]
    """The points of each optimizer; empty where none are asked for."""
    partial: float
    """The fraction of the points of a submission that is explained."""

    @property
    def against(self) -> str:
        """The names of the optimizers."""
        return ",".join(self.setups)

    @property
    def headline(self) -> str:
        counts = Counter(row.verdict for row in self.graded)
        summary = ", ".join(f"{counts[name]} {name}" for name in submissions.VERDICTS if counts[name])
        count = len(self.graded) // len(self.setups)
        return f"{plural(count, 'submission')} against {', '.join(self.setups)}: {summary}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        count = len(self.setups)
        return [self._row(self.graded[n : n + count]) for n in range(0, len(self.graded), count)]

    def _row(self, graded: Sequence[submissions.Graded]) -> dict[str, Any]:
        """The row of a file: of one optimizer with every fact, of several with a verdict for each."""
        credits = {"equal": 1.0, "explained": self.partial}
        earned = sum(credits.get(row.verdict, 0.0) * self.points[row.against] for row in graded if self.points)
        points = {"points": round(earned, 6)} if self.points else {}
        if len(graded) == 1:
            return {k: v for k, v in vars(graded[0]).items() if k not in ("compared", "against")} | points
        names: dict[str, list[str]] = {}
        for row in graded:
            names.setdefault(row.explanation, []).append(row.against)
        texts = [f"{', '.join(names[text])}: {text}" if len(names) > 1 else text for text in names if text]
        verdicts = {row.against: row.verdict for row in graded}
        return {"submission": graded[0].submission, **verdicts, **points, "explanation": "; ".join(texts)}

    @property
    def code(self) -> ExitCode:
        equal = all(row.verdict == "equal" for row in self.graded)
        return ExitCode.OK if equal else ExitCode.EXPECTATION

    def table(self) -> Table:
        """The rows as a table, each explanation in one line."""
        points = [Column("points", "points", "{:g}".format)] if self.points else []
        verdicts = (
            *([] if self.named else [Column("name", "name", left=True, folded=True)]),
            Column("verdict", "verdict", left=True, early=True),
            *points,
            Column("first_step", "first step"),
            Column("function", "on", left=True, detail=1, folded=True),
        )
        if len(self.setups) > 1:
            verdicts = (*(Column(name, name, left=True, early=True) for name in self.setups), *points)
        first, last = (
            Column("submission", "submission", left=True),
            Column("explanation", "explanation", left=True),
        )
        columns = (first, *verdicts, last)
        return Table(columns, [row | {"explanation": " ".join(row["explanation"].split())} for row in self.rows])

    def blocks(self) -> Iterator[Block]:
        from optilab.verify.sandbox import LEVELS

        yield from (self.table(), "", self.headline, LEVELS[self.level])

    def document(self) -> dict[str, Any]:
        counts = Counter(row.verdict for row in self.graded)
        return {
            "against": self.against,
            "isolation": self.level,
            "summary": dict(counts),
            "submissions": self.rows,
        }

    def write_feedback(self, directory: Path) -> None:
        """Write a text for each submission, at its path below the directory that all have in common."""
        texts = dict[Path, list[str]]()
        for row in self.graded:
            text = texts.setdefault(Path(row.submission).absolute(), [])
            if len(self.setups) > 1:
                text += ["", f"# {row.against}"] if text else [f"# {row.against}"]
            text += self._feedback(row)
        common = Path(os.path.commonpath([file.parent for file in texts]))
        for file, text in texts.items():
            target = directory / file.relative_to(common)
            target.parent.mkdir(parents=True, exist_ok=True)
            target = target.with_name(f"{target.name}.txt")
            target.write_text("\n".join([*text, ""]), encoding="utf-8", newline="\n")

    def _feedback(self, row: submissions.Graded) -> Iterator[str]:
        yield row.verdict
        yield ""
        if row.compared is None:
            yield re.sub(r" \(--\w+\)", "", row.explanation)  # options are the grader's
        else:
            label = f"{Path(row.submission).name}:{row.name}"
            yield from map(
                printable, lines(LabVerification(label, self.setups[row.against], row.compared).blocks())
            )
        if row.output:
            yield from ("", "What your code printed:", row.output)


COMMAND = Grade
