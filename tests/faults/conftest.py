"""The lab that all fault tests share, and the table of figures at the end of a run."""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from tests.data.idx import write_idx_dataset
from tests.faults import sandbox as sandboxes
from tests.faults.harness import Lab, Warm, missing
from tests.faults.sandbox import Sandbox
from tests.processes import Forked

CONFIG = """\
model: {hidden: [64], activation: relu}
data: {dataset: idx, dir: data, batch_size: 64}
optimizer: {name: adam, lr: 0.003}
threads: 1
"""

EVERYTHING = "slow or not slow"

_figures: list[tuple[str, str, str, float, Sequence[int]]] = []


class Figure(Protocol):
    """`figure(goal, what, measured)`: one line of the table, with the seconds of its test."""

    def __call__(self, goal: str, what: str, measured: str) -> None: ...


class Tally(Protocol):
    """`tally(goal, what, measured, seconds, *counts)`: a line of many tests; its `{}` are sums of `counts`."""

    def __call__(self, goal: str, what: str, measured: str, seconds: float, *counts: int) -> None: ...


class Drawn(Protocol):
    """`drawn(number)`: the chance of one test; `--draw` gives another one to all of them."""

    def __call__(self, number: int) -> random.Random: ...


@pytest.fixture(scope="session")
def drawn(request: pytest.FixtureRequest) -> Drawn:
    other = 1000 * request.config.getoption("--draw")
    return lambda number: random.Random(number + other)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Lab:
    """A dataset of 640 images, a small network with Adam, and its undisturbed run of 12 epochs."""
    folder = tmp_path_factory.mktemp("lab")
    write_idx_dataset(folder / "data", 640, 200)
    (folder / "lab.yaml").write_text(CONFIG, encoding="utf-8")
    made = Lab(folder, warm)
    made.learn()
    return made


@pytest.fixture(scope="module")
def lab(trained: Lab) -> Iterator[Lab]:
    """As it was made: no module finds the runs that another one damaged, whichever modules share a worker."""
    yield trained
    trained.tidy()


@pytest.fixture(scope="session")
def undisturbed_sandbox(tmp_path_factory: pytest.TempPathFactory, forked_with_torch: Forked) -> Sandbox:
    folder = tmp_path_factory.mktemp("sandbox")
    write_idx_dataset(folder / "data", 240, 100)
    (folder / "lab.yaml").write_text(sandboxes.CONFIG, encoding="utf-8")
    made = Sandbox(folder, forked_with_torch)
    assert made.train("reference").code == 0
    made.reference = made.result("reference")
    return made


@pytest.fixture
def sandbox(undisturbed_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A dataset, a config and its undisturbed run of 3 epochs; what a test adds is removed afterwards."""
    yield undisturbed_sandbox
    undisturbed_sandbox.remove_all()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """The same chance in every run of a test."""
    return random.Random(request.node.nodeid)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """The test's report takes the line along, from whichever process ran it."""
    lines = request.node.user_properties
    return lambda goal, what, measured, seconds, *counts: lines.append(
        ("figure", (goal, what, measured, seconds, counts))
    )


@pytest.fixture
def figure(tally: Tally) -> Figure:
    started = time.perf_counter()
    return lambda goal, what, measured: tally(goal, what, measured, time.perf_counter() - started)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _figures.extend(line for name, line in report.user_properties if name == "figure")  # type: ignore[misc]


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """`needs("strace")` skips, with the reason, where a tool is absent; where CI is set it fails."""

    def check(*tools: str) -> None:
        if absent := missing(*tools):
            pytest.skip(f"not installed: {', '.join(absent)}")

    return check


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where everything is asked for, the reduced form of a test that also has a full one is left out."""
    if config.option.markexpr != EVERYTHING:
        return
    full = {
        item.function for item in items if isinstance(item, pytest.Function) and item.get_closest_marker("slow")
    }
    reduced = [
        item
        for item in items
        if isinstance(item, pytest.Function) and item.function in full and not item.get_closest_marker("slow")
    ]
    config.hook.pytest_deselected(items=reduced)
    items[:] = [item for item in items if item not in reduced]


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    if not _figures:
        return
    terminalreporter.section("fault figures")
    sums: dict[tuple[str, str, str], tuple[float, list[int]]] = {}
    for *line, seconds, counts in sorted(_figures, key=lambda row: int(row[0].lstrip("G"))):
        before, counted = sums.get((*line,), (0.0, [0] * len(counts)))
        sums[*line,] = before + seconds, [a + b for a, b in zip(counted, counts, strict=True)]
    lines = ["| goal | fault | measured | seconds |", "|---|---|---|---:|"]
    for (goal, what, measured), (seconds, counts) in sums.items():
        text = f"{what} | {measured}"
        lines.append(f"| {goal} | {text.format(*counts) if counts else text} | {seconds:.1f} |")
    terminalreporter.write_line("\n".join(lines))
    if path := os.environ.get("OPTILAB_FIGURES"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
