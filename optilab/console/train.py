"""`optilab train`: what is trained, one line per epoch under a live display on a terminal, and the summary."""

import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from optilab.config.training import TrainConfig
from optilab.diagnose import Stability, diagnose, of_run
from optilab.runs import Record, best, read, read_timings
from optilab.show import terminal
from optilab.show.progress import ProgressLine
from optilab.study.claims import ClaimResult
from optilab.study.groups import outcome, spread
from optilab.study.trials import Outcome
from optilab.words import settings

Row = Mapping[str, Any]

CROWDED = 0.7
"""Cores per thread below which threads wait for each other; two alone on two cores get 0.95."""


def curvature_cost(measurements: int, products: int, seconds: float) -> None:
    """What the measurements of the curvature have cost."""
    if measurements:
        times = f"{measurements} time{'s' * (measurements > 1)}"
        terminal.say(f"curvature measured {times}: {products:,} Hessian-vector products, {seconds:.1f} s")


def starting(name: str) -> None:
    """The first line on a terminal, before PyTorch is loaded, which takes seconds."""
    if terminal.err.is_terminal:
        terminal.note(f"starting {name}: loading PyTorch and the dataset")


def header(
    config: TrainConfig,
    inputs: int,
    classes: int,
    train: int,
    validation: int,
    device: str,
    digests: Mapping[str, str],
) -> None:
    """The network, the optimizer, the seed and the dataset, in two lines."""
    optimizer = settings(config.optimizer).replace("   ", " ")
    threads = f", {config.threads} thread{'s' * (config.threads > 1)}" if device == "cpu" else ""
    facts = [
        config.name,
        _widths(config.widths(inputs, classes)),
        f"{config.optimizer.name} {optimizer}",
        f"batch {config.data.batch_size}",
        f"seed {config.seed}",
        f"{device}{threads}",
    ]
    terminal.say("   ".join(facts), style="bold")
    info = config.data.info
    name, checked = info.name if info.own else info.title, "checksums ok"
    if info.form == "npz":  # nobody has published a digest to compare with
        ((name, digest),) = digests.items()
        checked = f"sha256 {digest[:16]}"
    terminal.say(f"{name}, {train:,} train, {validation:,} validation ({checked})")


def forked(origin: Mapping[str, Any]) -> None:
    """Where a fork comes from, what is changed, and whether the optimizer starts afresh."""
    terminal.say(
        f"fork of {origin['run']} after epoch {origin['epoch']}; optimizer state {origin['optimizer_state']}"
    )
    for change in origin["changed"]:
        terminal.say(f"  {change}")


def _widths(widths: Sequence[int]) -> str:
    """784-128-128-10, or 784-100x(128)-10 where that would not fit a line."""
    if len(widths) > 12 and len(set(widths[1:-1])) == 1:
        return f"{widths[0]}-{len(widths) - 2}x({widths[1]})-{widths[-1]}"
    return "-".join(map(str, widths))


def plain(row: Row, epochs: int, seconds: float, record: Row | None = None) -> str:
    """One line per epoch for a pipe or a log; with the curvature that the epoch's record may have."""
    numbers = [f"{key} {_number(value)}" for key, value in row.items() if isinstance(value, float)]
    if (measured := Stability.of(record or {})) is not None:
        numbers.append(f"sharpness {measured.sharpness:.4g} limit {measured.limit:.4g}")
    return f"epoch {row['epoch']}/{epochs} {' '.join(numbers)} {seconds:.2f}s"


class Display:
    """Progress of a training run: one line per epoch, and a live display where stderr and stdout are a terminal.

    In a notebook it is a line that is updated. `quiet` shows nothing. The live display is drawn by a thread, so a batch
    costs one assignment.
    """

    def __init__(self, epochs: int, rows: Sequence[Row], quiet: bool = False) -> None:
        self._epochs, self._rows, self._first = epochs, list(rows), len(rows)
        self._batch = (0, 1)
        self._layers: Sequence[dict[str, Any]] = []
        self._started, self._worked = time.perf_counter(), time.process_time()
        live = not quiet and terminal.err.is_terminal and sys.stdout.isatty()
        self._live = Live(get_renderable=self._render, console=terminal.err, transient=True) if live else None
        self._line = ProgressLine() if terminal.err.is_jupyter and not quiet else None
        self._plain = not quiet and not live and self._line is None

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        if self._line is not None:
            self._line.close()

    def batch(self, done: int, total: int) -> None:
        self._batch = (done, total)
        if self._line is not None:
            whole = self._epochs * total
            share = (len(self._rows) * total + done) / whole
            self._line.draw(share, f"epoch {len(self._rows) + 1}/{self._epochs}   {self._latest()}")

    def epoch(self, row: Row, seconds: float, record: Row) -> None:
        self._rows.append(row)
        self._layers = record.get("layers", [])
        self._batch = (0, self._batch[1])
        line = plain(row, self._epochs, seconds, record)
        if self._plain:
            terminal.say(line)
        elif self._live is not None:
            self._live.console.print(Text(line))  # above the display, so that the history stays

    def crowded(self, threads: int) -> str:
        """Advice where the threads got much less than a core each, so that each waits for the slowest; else empty."""
        elapsed = time.perf_counter() - self._started
        cores = (time.process_time() - self._worked) / elapsed
        if threads == 1 or elapsed < 5 or cores > CROWDED * threads:
            return ""
        return f"the machine is busy: {threads} threads shared {cores:.1f} cores; try --threads 1"

    def _render(self) -> Any:
        done, (batch, batches) = len(self._rows), self._batch
        share = (done + batch / batches) / self._epochs
        elapsed = time.perf_counter() - self._started
        fresh = done - self._first + batch / batches
        speed = fresh / elapsed if elapsed else 0.0
        left = (self._epochs - done - batch / batches) / speed if speed else 0.0
        line = Table.grid(padding=(0, 2))
        line.add_row(
            f"epoch {min(done + 1, self._epochs)}/{self._epochs}",
            ProgressBar(total=1.0, completed=share, width=max(10, min(40, terminal.err.width - 60))),
            f"{share:.0%}",
            f"batch {batch}/{batches}",
            terminal.pace(fresh, elapsed),
            f"{terminal.duration(left)} left",
        )
        lines: list[Any] = [line, Text(self._latest())]
        if self._layers:
            lines.append(Text(_diagnosis().thermometer(self._layers, terminal.err.width)))
        return Group(*lines)

    def _latest(self) -> str:
        if not self._rows:
            return ""
        row, top = self._rows[-1], best(self._rows)
        train = f"train {_number(row['train_loss'])}  {row['train_acc']:.1%}"
        validation = f"validation {_number(row['val_loss'])}  {row['val_acc']:.1%}"
        return f"{train}     {validation}     best {top['val_acc']:.1%} at epoch {top['epoch']}"


def _number(value: float) -> str:
    """Four decimals, as the study was published; four digits for a loss of millions."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def summary(rows: Sequence[Row], timings: Sequence[Row], record: Record) -> None:
    """Last and best epoch by validation accuracy, time and speed."""
    last, top = rows[-1], best(rows)
    keys = [key for key in last if key != "epoch"]
    lines = (("last", last), ("best", top))
    table = [(label, str(row["epoch"]), *(_number(row[key]) for key in keys)) for label, row in lines]
    terminal.say()
    terminal.show(terminal.grid(["", "epoch", *keys], table))
    seconds = sum(row["seconds"] for row in timings)
    pace = terminal.pace(len(timings), seconds)
    terminal.say(f"{len(rows)} epoch{'s' * (len(rows) > 1)} in {terminal.duration(seconds)}, {pace}")
    if "test_acc" in record.manifest:
        loss, accuracy = record.manifest["test_loss"], record.manifest["test_acc"]
        terminal.say(f"test set (evaluated once, at the end): loss {loss:.4f}, accuracy {accuracy:.4f}")


def seeds(numbers: Sequence[int], outcomes: Sequence[Mapping[str, float]], spread: Mapping[str, Any]) -> None:
    """The last epoch of every seed, their mean and their standard deviation."""
    table = [(str(n), *(_number(value) for value in o.values())) for n, o in zip(numbers, outcomes, strict=True)]
    table.append(("mean", *(_number(value.mean) for value in spread.values())))
    table.append(("std", *(_number(value.std) for value in spread.values())))
    terminal.say()
    terminal.show(terminal.grid(["seed", *spread], table))


def report(
    path: Path,
    json_: bool,
    quiet: bool,
    picture: bool | None,
    written: Sequence[str],
    judged: Sequence[ClaimResult] = (),
) -> None:
    """What `train` prints of a run: its directory, one JSON document, or the summary with a diagnosis.

    `picture`: whether to show the curves (None: where there is room). `written`: files to name before the directory.
    `judged`: the claims about it, for the document.
    """
    record = read(path)
    rows = record.rows()
    if quiet:
        print(path, flush=True)
    elif json_:
        terminal.document(document(path) | _claims(judged))
    else:
        if rows:
            summary(rows, read_timings(path / "timings.csv"), record)
            curves([record], picture)
            evidence = of_run(record)
            found = _diagnosis().Diagnosis(str(path), evidence, diagnose(evidence), str(path / "config.yaml"))
            import_module("optilab.verbs.answer").paint(found.brief())
        for file in (*written, path):
            terminal.say(str(file))


def curves(records: Sequence[Record], picture: bool | None) -> None:
    """The curves and layers of runs, or on a terminal that is too narrow the option that shows them."""
    if terminal.out.is_terminal if picture is None else picture:
        from optilab.charts.training import training_chart  # slow to import
        from optilab.study.curves import histories

        terminal.say()
        if picture or terminal.out.width >= terminal.PIPE_WIDTH:
            terminal.draw(training_chart(histories(records)))
            terminal.say()
        else:
            terminal.say("curves and layers: --picture")


def document(path: Path) -> dict[str, Any]:
    """The JSON document of a run: rows, best epoch, seconds, accuracy of guessing, diagnosis, test set."""
    record = read(path)
    rows = record.rows()
    evidence = of_run(record)
    facts: dict[str, Any] = {"run": str(path), "status": record.state, "rows": rows}
    if measured := [{"epoch": r["epoch"], **r["curvature"]} for r in evidence.records if r.get("curvature")]:
        facts["curvature"] = measured
    if origin := record.manifest.get("fork"):
        facts["fork"] = {key: value for key, value in origin.items() if key not in ("config", "fork")}
    if rows:
        findings = diagnose(evidence)
        facts |= {
            "best": best(rows),
            "seconds": sum(row["seconds"] for row in read_timings(path / "timings.csv")),
            "chance": evidence.chance,
            "diagnosis": _diagnosis()
            .Diagnosis(str(path), evidence, findings, str(path / "config.yaml"))
            .document(),
        }
    return facts | {key: record.manifest[key] for key in ("test_loss", "test_acc") if key in record.manifest}


def report_seeds(
    study: Path,
    trials: Sequence[Outcome],
    json_: bool,
    quiet: bool,
    picture: bool | None,
    written: Sequence[str],
    judged: Sequence[ClaimResult] = (),
) -> None:
    """What several seeds print: the study, one JSON document, or a table with mean and spread."""
    records = [read(study / trial.trial.name) for trial in trials if not trial.failed]
    rows = [record.rows() for record in records]
    outcomes = {record.manifest["seed"]: outcome(own) for record, own in zip(records, rows, strict=True) if own}
    spreads = spread(list(outcomes.values())) if outcomes else {}
    if quiet:
        print(study, flush=True)
    elif json_:
        facts = [
            {"run": str(record.path), "status": record.state, "seed": record.manifest["seed"], "rows": own}
            for record, own in zip(records, rows, strict=True)
        ]
        summary = {key: value._asdict() for key, value in spreads.items()}
        terminal.document({"run": str(study), "runs": facts, "summary": summary} | _claims(judged))
    else:
        if outcomes:
            seeds(list(outcomes), list(outcomes.values()), spreads)
            curves(records, picture)
        for file in (*written, study):
            terminal.say(str(file))


def _claims(judged: Sequence[ClaimResult]) -> dict[str, Any]:
    return {"expect": [one.document() for one in judged]} if judged else {}


def _diagnosis() -> Any:
    return import_module("optilab.verbs.diagnose")  # until `train` is a verb
