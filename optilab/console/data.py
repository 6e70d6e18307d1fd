"""`optilab data`: where the dataset is looked for, the state of its files, and the progress of a download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from optilab import console


def search_path(places: Sequence[tuple[str, Path]], found: Path | None) -> None:
    """Where the dataset is looked for, in order."""
    rows = []
    for label, folder in places:
        here = found is not None and (found == folder or folder in found.parents)
        rows.append([label, str(folder), "found" if here else "-"])
        found = None if here else found
    console.show(console.grid(["place", "folder", ""], rows, left=(0, 1, 2)))


def search_document(places: Sequence[tuple[str, Path]], found: Path | None) -> dict[str, Any]:
    """Where the dataset is looked for and found, as `--json` prints it."""
    return {
        "places": [{"place": label, "folder": str(folder)} for label, folder in places],
        "found": None if found is None else str(found),
    }


def checks_document(rows: Sequence[Any]) -> dict[str, Any]:
    """The dataset's files as `--json` prints them."""
    return {"files": [{"file": r.name, "bytes": r.size, "sha256": r.digest, "ok": r.ok} for r in rows]}


def checks(rows: Sequence[Any]) -> None:
    """The dataset's files and whether each is what it should be."""
    cells = [[row.name, f"{row.size:,}", row.digest[:16], "ok" if row.ok else "DAMAGED"] for row in rows]
    console.show(console.grid(["file", "bytes", "sha256", ""], cells, left=(0, 2, 3)))


class Transfer:
    """A progress bar that appears with the first report and stays away where nothing is fetched."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Transfer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def report(self, label: str, done: int, total: int | None) -> None:
        """`done` of `total` bytes of `label` are here."""
        if label not in self._tasks:
            if not console.err.is_terminal:
                console.note(label)
            if self._progress is None:
                columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
                self._progress = Progress(*columns, console=console.err, transient=True)
                if console.err.is_terminal:
                    self._progress.start()
            self._tasks[label] = self._progress.add_task(label, total=total)
        if self._progress is not None:
            self._progress.update(self._tasks[label], completed=done, total=total)
