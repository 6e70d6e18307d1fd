"""`optilab data`: which datasets there are, where they are, whether they are intact, how to get them."""

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from annotated_doc import Doc

from optilab.commands.answer import Printed
from optilab.commands.options import QUIET, DataOptions, OutputOptions, SilentOptions
from optilab.commands.verb import Place, Verb
from optilab.data import sources
from optilab.data.sources import DATASETS
from optilab.errors import DataError, UsageError, unknown
from optilab.marks import Argument
from optilab.show.table import Column, Table

if TYPE_CHECKING:
    from optilab.data.load import Presence

_Name = Annotated[str, Argument("NAME", complete=",".join(DATASETS)), Doc("Name of a dataset")]
_Folder = Annotated[bool, QUIET, Doc("Print the directory and nothing else")]
_DEFAULT = "fashion-mnist"


class ListDatasets(DataOptions, OutputOptions):
    """List the datasets: sizes, and whether their files are here and intact."""

    EXAMPLES = ("optilab data ls", "optilab data ls --json")

    quiet: Annotated[bool, QUIET, Doc("Print the names of the datasets that are here")] = False


_DATASETS = (
    Column("dataset", "dataset", left=True),
    Column("shape", "image", lambda shape: " x ".join(map(str, shape))),
    Column("classes", "classes", lambda names: str(len(names))),
    Column("train", "train", "{:,}".format),
    Column("test", "test", "{:,}".format),
    Column("place", "directory", left=True),
)


def ls(request: ListDatasets, place: Place) -> Printed:
    from optilab.data import load

    found = [load.presence(name, _folder(request, place)) for name in DATASETS]
    rows = list(map(_row, found))
    shown = [{**row, "place": _place(one)} for row, one in zip(rows, found, strict=True)]
    return Printed([Table(_DATASETS, shown)], {"datasets": rows}, [one.info.name for one in found if one.here])


def _place(one: "Presence") -> str:
    """The directory of a dataset that is here; else, or before it, its state where that is not ok."""
    if one.folder is None:
        return one.state
    home = Path(os.path.expanduser("~"))  # where there is none, it stays ~
    folder = f"~/{one.folder.relative_to(home)}" if one.folder.is_relative_to(home) else str(one.folder)
    return folder if one.state == "ok" else f"{one.state}: {folder}"


def _row(one: "Presence") -> dict[str, Any]:
    """A dataset; the sizes of the user's own are unknown until they are read."""
    info = one.info
    return {
        "dataset": info.name,
        "title": info.title,
        "source": info.source,
        "shape": None if info.own else list(info.shape),
        "classes": None if info.own else list(info.classes),
        "train": None if info.own else info.train,
        "test": None if info.own else info.test,
        "sha256": dict(info.digests),
        "state": one.state,
        "here": one.here,
        "folder": None if one.folder is None else str(one.folder),
    }


class FindDataset(DataOptions, OutputOptions):
    """Show where a dataset is searched for, and where it was found."""

    EXAMPLES = ("optilab data where", "optilab data where mnist")

    name: _Name = _DEFAULT
    quiet: _Folder = False


_PLACES = (
    Column("place", "place", left=True),
    Column("folder", "directory", left=True),
    Column("state", "", left=True),
)


def where(request: FindDataset, place: Place) -> Printed:
    from optilab.data import load

    folder, info = _folder(request, place, request.name), load.info_of(request.name)
    found = sources.find(info, folder)
    rows = [{"place": label, "folder": str(path)} for label, path in sources.search_path(info, folder)]
    here = next((row for row in rows if found and Path(row["folder"]) in (found, *found.parents)), None)
    if rows:
        shown: Any = Table(_PLACES, [{**row, "state": "found" if row is here else "-"} for row in rows])
    elif info.own:
        shown = f"{info.name}: name its directory or file with --data-dir"
    else:
        shown = f"{info.name}: it has no files, so none is searched for"
    return Printed([shown], {"places": rows, "found": found and str(found)}, [str(found)] if found else [])


class VerifyDataset(DataOptions, SilentOptions):
    """Check the files of a dataset against their SHA-256."""

    EXAMPLES = ("optilab data verify", "optilab data verify synthetic")

    name: _Name = _DEFAULT


_FILES = (
    Column("file", "file", left=True),
    Column("bytes", "bytes", "{:,}".format),
    Column("sha256", "sha256", lambda digest: str(digest[:16]), left=True),
    Column("ok", "", lambda ok: "ok" if ok else "REFUSED", left=True),
)


def verify(request: VerifyDataset, place: Place) -> Printed:
    """The files with their sizes, checksums and states. DataError for a damaged one, after the table."""
    from optilab.data import load

    files = load.verify(request.name, _folder(request, place, request.name))
    rows = [{"file": one.name, "bytes": one.size, "sha256": one.digest, "ok": one.ok} for one in files]
    table = Table(_FILES, rows)
    if problems := [one.problem for one in files if not one.ok]:
        if not place.silent:
            table.write("table")
        error = DataError("\n".join(problems))
        error.facts = {"files": rows}
        raise error
    return Printed([table], {"files": rows})


class FetchDataset(DataOptions, OutputOptions):
    """Fetch a dataset from its mirrors; FashionMNIST also from Debian's package."""

    EXAMPLES = ("optilab data fetch", "optilab data fetch mnist --data-dir data")

    name: _Name = _DEFAULT
    quiet: _Folder = False


def fetch(request: FetchDataset, place: Place) -> Printed:
    from optilab.data.fetch import fetch
    from optilab.show.progress import Transfer

    with Transfer() as transfer:
        folder = fetch(request.name, transfer.report, _folder(request, place, request.name))
    if folder is None:
        return Printed([f"{request.name} has no files; nothing is fetched"], {"folder": None})
    return Printed([str(folder)], {"folder": str(folder)}, [str(folder)])


def _folder(request: DataOptions, place: Place, dataset: str = "") -> Path | None:
    """Where the files are; UsageError for a file, which only npz may be, and for an unknown dataset."""
    if dataset and dataset not in DATASETS:
        why = unknown("dataset", dataset, DATASETS)
        if os.path.isdir(dataset):
            why = f"{why.partition(';')[0]}; a directory stands behind the name: NAME --data-dir {quote(dataset)}"
        raise UsageError(why)
    if request.data_dir and dataset != "npz" and Path(request.data_dir).is_file():
        raise UsageError(f"{request.data_dir} is a file; expected a directory", request.flag("data_dir"))
    if request.data_dir and dataset in DATASETS and DATASETS[dataset].form in ("drawn", "scikit-learn"):
        raise UsageError(f"{dataset} reads no directory; leave it out", request.flag("data_dir"))
    return Path(request.data_dir) if request.data_dir else None


VERBS = {
    "ls": Verb(ls, (ListDatasets,)),
    "where": Verb(where, (FindDataset,)),
    "verify": Verb(verify, (VerifyDataset,)),
    "fetch": Verb(fetch, (FetchDataset,)),
}
EXAMPLES = ("optilab data ls", "optilab data fetch mnist", "optilab data verify fashion-mnist")
