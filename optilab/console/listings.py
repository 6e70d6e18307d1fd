"""Lists: presets, the config reference, the dataset's places and files, runs; and the progress of a download."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.text import Text

from optilab import console
from optilab.console.training import duration
from optilab.presets import Preset
from optilab.reference import Key
from optilab.runs import Record, best, read_table
from optilab.strict_yaml import printable


def presets(found: Sequence[Preset]) -> None:
    """Each preset with its title, command by command."""
    for kind in dict.fromkeys(preset.kind for preset in found):
        rows = [[f"{preset.name}.yaml", preset.title] for preset in found if preset.kind == kind]
        console.show(console.grid([f"optilab {kind} --config", ""], rows, left=(0, 1)))
        console.say()
    console.say("run one:  optilab train --config sigmoid.yaml")
    console.say("edit one: optilab config cp sigmoid.yaml my.yaml")


def reference(kind: str, keys: Sequence[Key]) -> None:
    """Every key of a command's config: type and range, default, meaning; what many entries share is told once."""
    console.say(f"Keys of `optilab {kind}` configs; each can be set by --set KEY=VALUE too.", style="bold")
    grouped: dict[tuple[str, str, str], dict[str, str]] = {}
    for key in keys:
        grouped.setdefault((key.key, key.type, key.meaning), {})[key.of] = key.default
    for (name, kind_of_value, meaning), defaults in grouped.items():
        console.say()
        console.say(name, style="bold")
        _paragraph(f"{meaning}: {kind_of_value}")
        if "" in defaults:
            _paragraph(f"default {defaults['']}")
        else:
            _paragraph("default " + ", ".join(f"{default} ({of})" for of, default in defaults.items()))


def _paragraph(text: str) -> None:
    """Text that wraps and stays indented."""
    console.show(Padding(Text(printable(text)), (0, 0, 0, 4)))


def search_path(places: Sequence[tuple[str, Path]], found: Path | None) -> None:
    """Where the dataset is looked for, in order."""
    rows = []
    for label, folder in places:
        here = found is not None and (found == folder or folder in found.parents)
        rows.append([label, str(folder), "found" if here else "-"])
        found = None if here else found
    console.show(console.grid(["place", "folder", ""], rows, left=(0, 1, 2)))


def checks(rows: Sequence[Any]) -> None:
    """The dataset's files and whether each is what it should be."""
    cells = [[row.name, f"{row.size:,}", row.digest[:16], "ok" if row.ok else "DAMAGED"] for row in rows]
    console.show(console.grid(["file", "bytes", "sha256", ""], cells, left=(0, 2, 3)))


def run_facts(record: Record) -> dict[str, Any]:
    """What `--json` tells of a run."""
    return {"run": str(record.path), "state": record.state, "manifest": record.manifest}


def runs(records: Sequence[Record], folder: Path) -> None:
    """One line per run."""
    if not records:
        console.say(f"no runs in {folder}")
        return
    rows = [[r.name, str(r.manifest.get("command", "?")), r.state, _result(r)] for r in records]
    console.show(console.grid(["run", "command", "state", "result"], rows, left=(0, 1, 2, 3)))


def _result(record: Record) -> str:
    if record.manifest.get("command") == "optimize":
        results = record.manifest.get("results", {})
        if len(results) == 1:
            return ", ".join(results.values())
        return f"{list(results.values()).count('converged')} of {len(results)} converged"
    try:
        rows = record.rows()
        if not rows:
            return "no epoch yet"
        top = best(rows)
        return f"epoch {rows[-1]['epoch']}, best {top['val_acc']:.1%} at {top['epoch']}"
    except Exception as error:  # a damaged table must not hide the other runs
        return f"metrics.csv is damaged ({error})"


def run(record: Record) -> None:
    """One run in full."""
    manifest = record.manifest
    console.say(f"{record.name}   {record.state}", style="bold")
    facts: list[list[str]] = [["command", " ".join(["optilab", *map(str, manifest.get("argv", [])[1:])])]]
    facts += [[key, str(manifest[key])] for key in ("created", "finished", "seed", "reason") if key in manifest]
    versions = manifest.get("versions", {})
    facts.append(["versions", ", ".join(f"{name} {version}" for name, version in versions.items())])
    facts.append(["git", str(manifest.get("git", {}).get("commit", "none"))])
    console.show(console.grid(["", ""], facts, left=(0, 1), show_header=False))
    console.say()
    console.say(record.config.decode("utf-8", "replace").rstrip())
    rows = record.rows()
    if not rows:
        return
    console.say()
    keys = list(rows[-1])
    shown = [("last", rows[-1])]
    if "val_acc" in keys:
        shown.append(("best", best(rows)))
    cells = [[what, *(_cell(row[key]) for key in keys)] for what, row in shown]
    console.show(console.grid(["", *keys], cells))
    timings = read_table(record.path / "timings.csv")
    if timings:
        console.say(f"{len(timings)} epochs in {duration(sum(row['seconds'] for row in timings))}")
    if record.state == "interrupted":
        console.say(f"continue with: optilab train --resume {record.name}")


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


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
