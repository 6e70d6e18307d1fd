"""`optilab grade`: compares many implementations with an optimizer, a row for each."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from annotated_types import Ge, MinLen

from optilab import signals
from optilab.commands.answer import Answer
from optilab.commands.options import TableOptions
from optilab.commands.request import Place
from optilab.commands.studies import StepProgress
from optilab.commands.verify import Against, ComparisonSetup, LabVerification
from optilab.errors import ExitCode, UsageError, printable
from optilab.marks import Argument, Flag
from optilab.show import terminal
from optilab.show.blocks import Block, lines
from optilab.show.table import Column, Table
from optilab.verify import classroom
from optilab.words import plural, some


class Grade(Against, TableOptions):
    """Compare many implementations with an optimizer: a row for each file, isolated from the others."""

    EXAMPLES = (
        "optilab grade 'submissions/*.py:Adam' --against adam --format csv",
        "optilab grade submissions --against adam",
        "optilab grade 'submissions/**/*.ipynb' --against adam --feedback feedback",
    )
    NOTES: ClassVar[str] = "Exit status 9: not all are equal."
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"against": ("submissions",)}

    submissions: Annotated[
        list[str],
        MinLen(1),
        Argument("PATTERN[:NAME]...", repeated=True),
        Doc("Files, patterns or directories; NAME: the class or function, by default the only one that fits"),
    ]
    memory: Annotated[int, Ge(512), Flag("MIB"), Doc("Memory limit of each process of a submission")] = 4096
    feedback: Annotated[
        str | None, Flag("DIR", path=True), Doc("Write a text for each student into this new directory")
    ] = None

    def run(self, place: Place) -> "Grades":
        """A row for each submission."""
        files = classroom.files(self.submissions)
        setup = ComparisonSetup.of(self)
        if skipped := classroom.unsearched(self.submissions):
            terminal.note(f"not searched: {some([printable(name) for name in skipped], 5)}")
        if self.columns:
            Grades([], setup, all(files.values()), "").table().choose(self.columns, self.flag("columns"))
        directory = self._feedback_directory()
        from optilab.verify.sandbox import Sandbox, strongest_level  # with NumPy, which no refusal needs

        sandbox, jobs = Sandbox(self.timeout, self.memory, strongest_level()), max(1, (os.cpu_count() or 2) // 2)
        rows = classroom.grade_all(files, setup.compare, sandbox, min(jobs, len(files)), setup.rule.name)
        graded, count = list[classroom.Graded](), len(files)
        with (
            signals.without_sigpipe(),  # a submission may close its end
            StepProgress(count, False, f"grading {plural(count, 'submission')}") as progress,
        ):
            for row in rows:
                verdict = row.compared
                known = (setup.overflow(verdict), setup.unexplained(verdict)) if verdict else ()
                graded.append(replace(row, explanation=row.explanation or "; ".join(filter(None, known))))
                progress.step(f"graded {len(graded)} of {count}")
        grades = Grades(graded, setup, all(files.values()), sandbox.level)
        if directory is not None:
            grades.write_feedback(directory)
        return grades

    def _feedback_directory(self) -> Path | None:
        """The directory for feedback, made; UsageError where it has anything in it."""
        if self.feedback is None:
            return None
        directory, wrong = Path(self.feedback), ""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            wrong = "is not empty" if any(directory.iterdir()) else ""
        except FileExistsError:
            wrong = "is a file"
        except OSError as error:
            raise UsageError(f"cannot make {directory}: {error.strerror}", self.flag("feedback")) from None
        if wrong:
            raise UsageError(f"expected a new directory, got {directory}, which {wrong}", self.flag("feedback"))
        return directory


@dataclass(frozen=True, repr=False)
class Grades(Answer):
    """The grades of many submissions, a row each."""

    graded: Sequence[classroom.Graded]
    setup: ComparisonSetup
    named: bool
    """True if the command names the class or function, so that no column does."""
    level: str
    """The level of isolation: a key of `sandbox.LEVELS`."""

    @property
    def against(self) -> str:
        """The rule's name."""
        return str(self.setup.rule.name)

    @property
    def headline(self) -> str:
        counts = Counter(row.verdict for row in self.graded)
        summary = ", ".join(f"{counts[name]} {name}" for name in classroom.VERDICTS if counts[name])
        return f"{plural(len(self.graded), 'submission')} against {self.against}: {summary}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [{key: value for key, value in vars(row).items() if key != "compared"} for row in self.graded]

    @property
    def code(self) -> ExitCode:
        equal = all(row.verdict == "equal" for row in self.graded)
        return ExitCode.OK if equal else ExitCode.EXPECTATION

    def table(self) -> Table:
        """The rows as a table, each explanation in one line."""
        columns = (
            Column("submission", "submission", left=True),
            *([] if self.named else [Column("name", "name", left=True)]),
            Column("verdict", "verdict", left=True, early=True),
            Column("first_step", "first step"),
            Column("function", "on", left=True, detail=1),
            Column("explanation", "explanation", left=True),
        )
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
        files = [Path(row.submission).absolute() for row in self.graded]
        common = Path(os.path.commonpath([file.parent for file in files]))
        for row, file in zip(self.graded, files, strict=True):
            target = directory / file.relative_to(common)
            target.parent.mkdir(parents=True, exist_ok=True)
            target = target.with_name(f"{target.name}.txt")
            target.write_text("\n".join([*self._feedback(row), ""]), encoding="utf-8")

    def _feedback(self, row: classroom.Graded) -> Iterator[str]:
        yield row.verdict
        yield ""
        if row.compared is None:
            yield re.sub(r" \(--\w+\)", "", row.explanation)  # options are the grader's
        else:
            label = f"{Path(row.submission).name}:{row.name}"
            yield from map(printable, lines(LabVerification(label, self.setup, row.compared).blocks()))
        if row.output:
            yield from ("", "What your code printed:", row.output)


COMMAND = Grade
