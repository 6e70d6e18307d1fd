"""`optilab data`: the datasets, their directories, whether they are intact, and their download."""

from pathlib import Path
from typing import Annotated, Any

from annotated_doc import Doc

from optilab.annotations import Argument
from optilab.answer.answer import SimpleAnswer
from optilab.data.catalog import DATASETS, DatasetInfo
from optilab.errors import DataError, UsageError
from optilab.request.options import QUIET, DataOptions, OutputOptions, SilentOptions
from optilab.request.request import Place
from optilab.show.blocks import paint
from optilab.show.table import Column, Table

_Name = Annotated[str, Argument("NAME", complete=",".join(DATASETS)), Doc("Name of a dataset")]
_DEFAULT = "fashion-mnist"


class ListDatasets(DataOptions, OutputOptions):
    """List the datasets: sizes, and whether their files are here and intact."""

    EXAMPLES = ("optilab data ls", "optilab data ls --json")

    quiet: Annotated[bool, QUIET, Doc("Print the names of the datasets that are here")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.data import read

        directory = _directory(self)
        rows = [_row(info, *read.status(info, directory)) for info in DATASETS.values()]
        available = [row["dataset"] for row in rows if row["here"]]
        return SimpleAnswer([Table(_DATASETS, rows)], {"datasets": rows}, available)


_DATASETS = (
    Column("dataset", "dataset", left=True),
    Column("shape", "image", lambda shape: " x ".join(map(str, shape))),
    Column("classes", "classes", lambda names: str(len(names))),
    Column("train", "train", "{:,}".format),
    Column("test", "test", "{:,}".format),
    Column("state", "state", left=True),
    Column("folder", "directory", left=True),
)


def _row(info: DatasetInfo, state: str, place: Path | None) -> dict[str, Any]:
    """A dataset; the sizes of the user's images are unknown until they are read."""
    sizes = {"shape": list(info.shape), "classes": list(info.classes), "train": info.train, "test": info.test}
    return {
        "dataset": info.name,
        "title": info.title,
        "source": info.source,
        **(dict.fromkeys(sizes) if info.is_custom else sizes),
        "sha256": dict(info.digests),
        "state": state,
        "here": state in ("ok", "built in"),
        "folder": None if place is None else str(place),
    }


class VerifyDataset(DataOptions, SilentOptions):
    """Check the files of a dataset against their SHA-256."""

    EXAMPLES = ("optilab data verify", "optilab data verify synthetic")

    name: _Name = _DEFAULT

    def run(self, place: Place) -> SimpleAnswer:
        """The files with their sizes, checksums and states. DataError for a damaged one, after the table."""
        from optilab.data import read

        files = read.verify(self.name, _directory(self, self.name))
        rows = [{"file": file.name, "bytes": file.size, "sha256": file.digest, "ok": file.ok} for file in files]
        table = Table(_FILES, rows)
        if problems := [file.problem for file in files if not file.ok]:
            if not place.silent:
                paint([table])
            error = DataError("\n".join(problems))
            error.facts = {"files": rows}
            raise error
        return SimpleAnswer([table], {"files": rows})


_FILES = (
    Column("file", "file", left=True),
    Column("bytes", "bytes", "{:,}".format),
    Column("sha256", "sha256", lambda digest: str(digest[:16]), left=True),
    Column("ok", "", lambda ok: "ok" if ok else "REFUSED", left=True),
)


class FetchDataset(DataOptions, OutputOptions):
    """Fetch a dataset from its mirrors; FashionMNIST also from Debian's package."""

    EXAMPLES = ("optilab data fetch", "optilab data fetch mnist --data-dir data")

    name: _Name = _DEFAULT
    quiet: Annotated[bool, QUIET, Doc("Print the directory and nothing else")] = False

    def run(self, place: Place) -> SimpleAnswer:
        from optilab.data.fetch import fetch

        directory = fetch(self.name, _directory(self, self.name))
        if directory is None:
            return SimpleAnswer([f"{self.name} has no files; nothing is fetched"], {"folder": None})
        return SimpleAnswer([str(directory)], {"folder": str(directory)}, [str(directory)])


def _directory(request: DataOptions, dataset: str = "") -> Path | None:
    """The directory of the files, or None. UsageError for a file, which only npz may be, for a dataset without
    files, and for an unknown one."""
    from optilab.data.read import info_of

    form = info_of(dataset).form if dataset else ""
    if request.data_dir and form != "npz" and Path(request.data_dir).is_file():
        raise UsageError(f"expected a directory, got the file {request.data_dir}", request.flag("data_dir"))
    if request.data_dir and form in ("drawn", "scikit-learn"):
        raise UsageError(f"{dataset} reads no directory", request.flag("data_dir"))
    return Path(request.data_dir) if request.data_dir else None


PARTS = {
    "ls": ListDatasets,
    "verify": VerifyDataset,
    "fetch": FetchDataset,
}
EXAMPLES = ("optilab data ls", "optilab data fetch mnist", "optilab data verify fashion-mnist")
