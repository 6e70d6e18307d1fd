"""`optilab data`: the folders searched, the state of the files, and the progress of a download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from optilab.data.sources import DatasetInfo
from optilab.show import terminal


def datasets(rows: Sequence[Any]) -> None:
    """Every dataset: its sizes, and whether it is here."""
    cells = []
    for row in rows:
        info = row.info
        sizes = ["", "", "", ""] if info.own else [_shape(info), f"{len(info.classes)}", *_counts(info)]
        cells.append([info.name, *sizes, row.state, "" if row.folder is None else str(row.folder)])
    heads = ["dataset", "image", "classes", "train", "test", "", "folder"]
    terminal.show(terminal.grid(heads, cells, left=(0, 5, 6)))


def _shape(info: DatasetInfo) -> str:
    return " x ".join(map(str, info.shape))


def _counts(info: DatasetInfo) -> tuple[str, str]:
    return f"{info.train:,}", f"{info.test:,}"


def list_document(rows: Sequence[Any]) -> dict[str, Any]:
    """The datasets as `--json` prints them; the sizes of the user's own are null until they are read."""
    return {
        "datasets": [
            {
                "dataset": row.info.name,
                "title": row.info.title,
                "source": row.info.source,
                "shape": None if row.info.own else list(row.info.shape),
                "classes": None if row.info.own else list(row.info.classes),
                "train": None if row.info.own else row.info.train,
                "test": None if row.info.own else row.info.test,
                "sha256": dict(row.info.digests),
                "state": row.state,
                "here": row.here,
                "folder": None if row.folder is None else str(row.folder),
            }
            for row in rows
        ]
    }


def search_path(info: DatasetInfo, places: Sequence[tuple[str, Path]], found: Path | None) -> None:
    """The folders searched for the dataset, in order, and the one that has it."""
    if not places:
        text = (
            "name its folder or file with --data-dir" if info.own else "it has no files, so none is searched for"
        )
        terminal.say(f"{info.name}: {text}")
        return
    rows = []
    for label, folder in places:
        here = found is not None and (found == folder or folder in found.parents)
        rows.append([label, str(folder), "found" if here else "-"])
        found = None if here else found
    terminal.show(terminal.grid(["place", "folder", ""], rows, left=(0, 1, 2)))


def search_document(places: Sequence[tuple[str, Path]], found: Path | None) -> dict[str, Any]:
    """The folders searched and the one that has the dataset, as `--json` prints them."""
    return {
        "places": [{"place": label, "folder": str(folder)} for label, folder in places],
        "found": None if found is None else str(found),
    }


def checks_document(rows: Sequence[Any]) -> dict[str, Any]:
    """The dataset's files as `--json` prints them."""
    return {"files": [{"file": r.name, "bytes": r.size, "sha256": r.digest, "ok": r.ok} for r in rows]}


def checks(rows: Sequence[Any]) -> None:
    """The dataset's files, each with its size, digest and state."""
    cells = [[row.name, f"{row.size:,}", row.digest[:16], "ok" if row.ok else "DAMAGED"] for row in rows]
    terminal.show(terminal.grid(["file", "bytes", "sha256", ""], cells, left=(0, 2, 3)))


class Transfer:
    """A progress bar that appears with the first report, so only if something is fetched."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def report(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of `label` have arrived."""
        if label not in self._tasks:
            if not terminal.err.is_terminal:
                terminal.note(label)
            if self._progress is None:
                columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
                self._progress = Progress(*columns, console=terminal.err, transient=True)
                if terminal.err.is_terminal:
                    self._progress.start()
            self._tasks[label] = self._progress.add_task(label, total=total)
        if self._progress is not None:
            self._progress.update(self._tasks[label], completed=done, total=total)
