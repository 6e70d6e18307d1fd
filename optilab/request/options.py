"""Groups of fields that several requests share; each group is a part of their help text."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from annotated_doc import Doc
from annotated_types import Ge, Le, MinLen
from pydantic import AfterValidator

from optilab import runs
from optilab.annotations import Argument, ConfigKey, Flag, Read, claim_doc
from optilab.answer.answer import FILMS, PAGES, PICTURES, Answer, show_claims
from optilab.errors import UsageError, shell, shown
from optilab.request.request import Conflicts, Request, plain
from optilab.show import terminal
from optilab.show.blocks import paint, with_columns
from optilab.show.table import FORMATS
from optilab.words import listed


def as_utf8(path: str) -> str:
    """A path as UTF-8, like a config, in every locale."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


QUIET = Flag(names=("--quiet", "-q"))
RunNames = Annotated[
    list[str],
    MinLen(1),
    Argument("RUN...", complete="run"),
    Doc("Names of runs and studies, paths to them, `latest`, or patterns such as 'relu-*'"),
]


Expect = Annotated[list[str] | None, Flag("CLAIM"), claim_doc("val_acc > 0.8")]
Config = Annotated[
    Any,
    Argument("[CONFIG]", complete="preset:train"),
    Doc("What to train: a preset, a YAML file or the directory of a run"),
]
Device = Annotated[str | None, ConfigKey("device"), Flag("DEVICE"), Doc("auto, cpu, cuda, cuda:N or mps")]
Seed = Annotated[int | None, ConfigKey("seed"), Flag("N"), Doc("Seed of every random number")]
Threads = Annotated[int | None, ConfigKey("threads"), Flag("N"), Doc("CPU threads, whatever OMP_NUM_THREADS says")]
LearningRate = Annotated[float | None, ConfigKey("optimizer.lr"), Flag("LR"), Doc("Learning rate (optimizer.lr)")]
BatchSize = Annotated[
    int | None, ConfigKey("data.batch_size"), Flag("N"), Doc("Images per step (data.batch_size)")
]
Optimizer = Annotated[
    str | None,
    ConfigKey("optimizer"),
    Flag("NAME", complete="rule"),
    Doc("Optimizer, with its defaults"),
]


if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[FORMATS]


class OutputOptions(Request):
    GROUP: ClassVar[str] = "Output"
    CONFLICTS: ClassVar[Conflicts] = (("json_", "quiet"),)

    json_: Annotated[bool, Doc("Print one JSON document and nothing else")] = False
    quiet: Annotated[bool, QUIET, Doc("Print the run directory and nothing else")] = False

    @property
    def silent(self) -> bool:
        """True where nothing but the result is printed."""
        return self.json_ or self.quiet or getattr(self, "format", "table") != "table"


class DetailOptions(OutputOptions):
    """The output of a command whose screen leaves something out."""

    CONFLICTS: ClassVar[Conflicts] = (("json_", "details"), ("quiet", "details"))

    details: Annotated[bool, Doc("Print also what the screen leaves out; a page has it folded")] = False


class SilentOptions(OutputOptions):
    quiet: Annotated[bool, QUIET, Doc("Print nothing; the exit status is the result")] = False


def _names(texts: list[str] | None) -> list[str] | None:
    """The names of comma-separated lists."""
    return texts and [name.strip() for text in texts for name in text.split(",")]


class FormatOptions(Request):
    GROUP: ClassVar[str] = "Output"
    CONFLICTS: ClassVar[Conflicts] = (("json_", "format"), ("quiet", "format"))

    format: Annotated[
        Format,
        Flag("FORMAT"),
        Doc(listed(FORMATS, "or")),
    ] = "table"


class ColumnOptions(Request):
    GROUP: ClassVar[str] = "Output"

    columns: Annotated[
        list[str] | None,
        AfterValidator(_names),
        Flag("NAME,..."),
        Doc("Columns of the table, by their headings or keys of CSV"),
    ] = None


class TableOptions(FormatOptions, ColumnOptions):
    """A table that is printed from rows that are there."""

    CONFLICTS: ClassVar[Conflicts] = (("json_", "columns"), ("quiet", "columns"))

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        yield from super().inconsistencies()
        if self.columns and self.format == "json":
            yield "expected another format than json, whose documents are whole", "columns"


class FolderOptions(Request):
    GROUP: ClassVar[str] = "Saving and resuming"

    runs_dir: Annotated[
        str | None, Flag("DIR", path=True), Doc("Directory of the runs [OPTILAB_RUNS, else ./runs]")
    ] = None


class SaveOptions(FolderOptions):
    name: Annotated[
        Annotated[str, AfterValidator(runs.directory_name)] | None, Flag("NAME"), Doc("Name of the run directory")
    ] = None


OUT = Flag("FILE", path=True, repeated=True)


class FileOptions(Request):
    """Files that show the answer of a command: the extension of each chooses its kind."""

    GROUP: ClassVar[str] = "Output"
    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"out": ("size", "dark")}
    ENDINGS: ClassVar[Sequence[str]] = Answer.ENDINGS

    out: Annotated[
        list[str] | None, OUT, Doc("Write the plot (.png, .svg, .pdf) or a page (.html); may be repeated")
    ] = None
    dark: Annotated[bool, Doc("Draw the plot or the page on a dark background")] = False
    size: Annotated[
        Literal["column", "page", "slide"] | None,
        Flag("SIZE"),
        Doc("Width of the plot: column (3.3 in), page (6.9), slide (10, and a page in large type)"),
    ] = None

    def inconsistencies(self) -> Iterator[tuple[str, str]]:
        yield from super().inconsistencies()
        files = self.out or ()
        for file in files:
            try:
                if runs.output_file(file, self.ENDINGS).suffix.lower() in PAGES:
                    from optilab.show.page import page_file

                    page_file(file)
            except UsageError as error:
                yield str(error), "out"
        sizes = (*PICTURES, *PAGES) if self.size == "slide" else PICTURES
        for name, kinds in (("size", sizes), ("dark", (*PICTURES, *FILMS, *PAGES))):
            endings = [ending for ending in kinds if ending in self.ENDINGS]
            if getattr(self, name) and files and not any(Path(file).suffix.lower() in endings for file in files):
                yield f"applies only to {listed(endings, 'or')} files, got {', '.join(files)}", name

    def save(self, answer: Answer) -> None:
        """Write the files that were asked for."""
        command = shell(*sys.argv[1:]) if self.typed else ""
        for file in self.out or ():
            answer.save(file, dark=self.dark, size=self.size, command=command)


class PageOptions(Request):
    """The look of the page that a command writes."""

    GROUP: ClassVar[str] = "Output"

    dark: Annotated[bool, Doc("Show the page on a dark background, whatever the reader's system asks")] = False
    size: Annotated[
        Literal["slide"] | None, Flag("SIZE"), Doc("slide: open the page in large type, as for a lecture")
    ] = None


class SetOptions(Request):
    """Keys of the config that a command reads."""

    GROUP: ClassVar[str] = "What to run"

    set: Annotated[
        list[str] | dict[str, Any] | None,
        Flag("KEY=VALUE", complete="key", repeated=True),
        Doc("Set any key (optilab config show); may be repeated"),
    ] = None


class DataOptions(Request):
    GROUP: ClassVar[str] = "What to run"

    data_dir: Annotated[
        str | None,
        ConfigKey("data.dir"),
        Read(as_utf8),
        Flag("DIR", path=True),
        Doc("Directory of the dataset [OPTILAB_DATA]"),
    ] = None


class JobOptions(Request):
    GROUP: ClassVar[str] = "How to run it"

    jobs: Annotated[int | None, Flag("N"), Ge(1), Le(256), Doc("Runs at once [one per physical core]")] = None


class ClusterOptions(JobOptions):
    cluster: Annotated[
        str | None,
        Flag("ADDRESS"),
        Doc("Train on a dask cluster: tcp://HOST:PORT, or its file"),
    ] = None


class StudyOptions(
    ClusterOptions, SaveOptions, SetOptions, DataOptions, FormatOptions, FileOptions, OutputOptions
):
    """Options that execute, repeat, continue and show a study."""

    GROUP: ClassVar[str] = "How to run it"
    CONFLICTS: ClassVar[Conflicts] = (
        ("dry_run", "quiet"),
        ("dry_run", "out"),
        ("dry_run", "cluster"),
        ("config", "resume", "study"),
        ("resume", "name"),
    )

    batch_size: BatchSize = None
    device: Annotated[
        str | None, ConfigKey("device"), Flag("DEVICE"), Doc("auto (the CPU), cpu, cuda, cuda:N or mps")
    ] = None
    dry_run: Annotated[bool, Doc("Print the plan and its cost; train nothing")] = False
    resume: Annotated[str | None, Flag("STUDY", complete="run"), Doc("Continue a stopped study")] = None
    study: Annotated[str | None, Flag("FILE"), Doc("Repeat a study: its study.yaml, or one of yours")] = None


def present(answer: Answer, request: OutputOptions) -> int:
    """Print an answer as `json`, `quiet` and `format` of a request ask; return the exit status, claims included."""
    format = request.format if isinstance(request, FormatOptions) else "table"
    columns = request.columns if isinstance(request, TableOptions) else None
    if request.json_ or format == "json":
        terminal.print_json(answer.full_document())
    elif request.quiet:
        paint(answer.short())
    elif format != "table":
        table = answer.table()
        sys.stdout.write((table.choose(columns, "--columns") if columns else table).text(format))
        sys.stdout.flush()
    else:
        blocks = answer.blocks()
        details = isinstance(request, DetailOptions) and request.details
        paint(with_columns(blocks, answer.table(), columns, "--columns") if columns else blocks, details)
        paint(answer.saved)
    return max(answer.code, show_claims(answer.judged, request.silent))


class RaceOptions(FormatOptions, FileOptions, OutputOptions):
    """The options of a race and of a benchmark."""

    @classmethod
    def of(cls, values: Mapping[str, Any], typed: bool = False) -> Self:
        """The request, whose ranges may be tuples of Python."""
        if isinstance(over := plain(values.get("over")), dict):
            spans = {
                key: ":".join(part if isinstance(part, str) else shown(part) for part in span)
                if isinstance(span, list)
                else span
                for key, span in over.items()
            }
            values = {**values, "over": spans}
        return super().of(values, typed)


RunName = Annotated[
    str, Argument("RUN", complete="run"), Doc("Name of a run or study, a path to one, or `latest`")
]
