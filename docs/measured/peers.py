"""The held-out loops under other tools that attach to a loop of PyTorch: what each flags, and what a step costs.

    python -m venv peers && peers/bin/pip install -e . torchmortem==0.1.1 torch-audit==0.3.0 torchdiag==0.1.0
    peers/bin/python docs/measured peers --run         # what is missing in peers.json.gz; then with --cost

Without an option, the tables are made from what is stored. Each is used as its documentation shows it: torchmortem
with its default sampling, torch-audit by `autopatch` at its default of 1,000 steps and at every step, torchdiag's three
checks once before the training and once per twenty steps. A network counts as flagged by a finding that is a warning or
worse; hints about hardware (TA2xx) and what a tool calls information do not count. What each of their words could mean
is in MEANS, in optilab's names of causes; where in doubt, it is in the tool's favor.
"""

import contextlib
import copy
import importlib.metadata
import io
import itertools
import logging
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from docs.measured import figures, loops
from docs.measured.diagnosis.train import write
from docs.measured.speed import NETWORKS, per_step, stepper
from tests.diagnosis import stored

SEED = 27
SAMPLES = 4
"""Of a batch where the time of a step is measured."""
STORED = Path(__file__).with_name("peers.json.gz")
TOO_LARGE = {
    "weights-too-large",
    "learning-rate-too-high",
    "inputs-out-of-scale",
    "targets-out-of-scale",
    "loss-is-a-sum",
}
TOO_SMALL = {"vanishing-gradient", "vanishing-through-time", "learning-rate-too-low", "inputs-out-of-scale"}
STANDS_STILL = {"learning-rate-too-low", "learning-rate-zero", "learning-rate-decayed", "no-optimizer-step",
                "optimizer-of-another-model"}  # fmt: skip
NO_SIGNAL = {"graph-cut", "parameters-not-in-optimizer", "dead-units", "vanishing-gradient"}
MEANS: dict[str, set[str]] = {
    # torchmortem: the titles of its findings
    "Training divergence detected": TOO_LARGE | {"non-finite-data"},
    "Loss plateau detected": {"learning-rate-too-low"},
    "Update ratio too low": STANDS_STILL,
    "Update ratio too high": TOO_LARGE,
    "Vanishing gradients detected": TOO_SMALL,
    "Exploding gradients detected": TOO_LARGE,
    "Gradient stalling": NO_SIGNAL | {"optimizer-of-another-model"},
    "Weight norm explosion": TOO_LARGE,
    "Stagnant weight norms": STANDS_STILL | NO_SIGNAL,
    "Inter-layer weight norm imbalance": {"weights-too-large"},
    "Activation saturation": {"weights-too-large", "vanishing-gradient", "inputs-out-of-scale"},
    "Dead units": {"dead-units"},
    "Rank collapse": {"symmetric-init", "weight-decay-too-strong", "dropout-too-strong"},
    "High gradient noise (low SNR)": {"labels-unrelated"},
    # torch-audit: the numbers of its rules
    "TA100": TOO_LARGE | {"non-finite-data"},
    "TA102": TOO_LARGE,
    "TA103": {"dead-units"},
    "TA104": NO_SIGNAL,
    "TA105": {"dead-units", "vanishing-gradient"},
    "TA301": {"inputs-out-of-scale", "non-finite-data"},
    "TA302": {"inputs-out-of-scale", "one-class"},
    "TA304": {"batch-norm-small-batch"},
    "TA401": {"weight-decay-too-strong"},
    "TA402": {"weight-decay-too-strong"},
    "TA403": {"weight-decay-too-strong"},
    "TA405": {"dead-units"},
    "TA500": {"unused-modules", "graph-cut"},
    # torchdiag: what its lines say
    "exploding": TOO_LARGE,
    "vanishing": TOO_SMALL | NO_SIGNAL,
    "disconnected from graph": NO_SIGNAL,
    "neurons dead": {"dead-units"},
    "Loss is": {"non-finite-data", *TOO_LARGE},
    "None gradients": NO_SIGNAL,
    "No parameters changed": STANDS_STILL,
    "failed": {"labels-out-of-range", "shapes-broadcast"},
}
"""Words of a tool -> the causes that they could name. What is not listed names none."""
WORSE = {"torchmortem": "critical findings", "torch-audit": "errors", "torch-audit, every step": "errors"}
"""What a tool calls worse than a warning."""

Words = tuple[str, int]
"""A finding: its words, and how severe it is: 1 a warning, 2 worse."""


class Peer:
    """A tool on one loop, in the place of a watch."""

    package = ""

    def __init__(self, net: nn.Module, optimizer: Any, batch: tuple[Tensor, Tensor, Any] | None = None) -> None:
        self.net, self.optimizer, self.batch = net, optimizer, batch

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *error: object) -> None: ...

    def step(self, loss: Tensor, target: Tensor | None = None) -> None:
        """A step is done."""

    def epoch(self, **metrics: Any) -> None:
        """An epoch is done."""

    def findings(self) -> list[Words]:
        """Warnings and worse, the most severe first, in the tool's own order."""
        return []


class Torchmortem(Peer):
    package = "torchmortem"

    def __enter__(self) -> Peer:
        from torchmortem import Autopsy  # type: ignore[import-not-found]

        self.autopsy = Autopsy(self.net, optimizer=self.optimizer)
        self.autopsy.attach()
        return self

    def __exit__(self, *error: object) -> None:
        self.autopsy.detach()

    def step(self, loss: Tensor, target: Tensor | None = None) -> None:
        self.autopsy.step(loss=loss.item())

    def findings(self) -> list[Words]:
        findings = self.autopsy.get_report().findings
        return [(f.title.split(" in ")[0], int(f.severity)) for f in findings if int(f.severity) > 0]


class TorchAudit(Peer):
    package = "torch-audit"
    every = 1000

    def __enter__(self) -> Peer:
        from torch_audit import autopatch  # type: ignore[import-not-found]

        self.auditor = autopatch(self.net, optimizer=self.optimizer, every_n_steps=self.every)
        return self

    def __exit__(self, *error: object) -> None:
        self.result = self.auditor.finish()
        self.auditor.unpatch()

    def findings(self) -> list[Words]:
        levels = {"WARN": 1, "ERROR": 2, "FATAL": 2}
        findings = [(f.rule_id, levels.get(f.severity.value, 0)) for f in self.result.findings]
        counted = [(rule, level) for rule, level in findings if level and not rule.startswith("TA2")]
        return sorted(counted, key=lambda entry: -entry[1])


class TorchAuditEveryStep(TorchAudit):
    every = 1


class Torchdiag(Peer):
    package = "torchdiag"

    def __enter__(self) -> Peer:
        import torchdiag  # type: ignore[import-not-found]

        self.tool, self.count, self.lines = torchdiag, 0, dict.fromkeys(MEANS, 0)
        if self.batch is not None:
            x, y, loss = self.batch
            net, optimizer = copy.deepcopy((self.net, self.optimizer))  # it takes a step
            with torch.random.fork_rng():
                self._check(lambda: self.tool.verify_step(net, optimizer, loss, x, y))
        return self

    def step(self, loss: Tensor, target: Tensor | None = None) -> None:
        self.count += 1
        if self.count % 20 == 1:
            self._check(lambda: self.tool.check_gradients(self.net))
            if self.batch is not None:
                inputs, *_ = self.batch
                with torch.random.fork_rng():
                    self._check(lambda: self.tool.check_dead_neurons(self.net, inputs))

    def _check(self, check: Callable[[], Any]) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            check()
        for line in out.getvalue().splitlines():
            if line.strip().startswith("•"):
                words = next((words for words in MEANS if words in line), line.strip("• "))
                self.lines[words] = self.lines.get(words, 0) + 1

    def findings(self) -> list[Words]:
        counted = sorted(self.lines.items(), key=lambda entry: -entry[1])
        return [(words, 1) for words, count in counted if count]


PEERS: dict[str, type[Peer]] = {
    "torchmortem": Torchmortem,
    "torch-audit": TorchAudit,
    "torch-audit, every step": TorchAuditEveryStep,
    "torchdiag": Torchdiag,
}


def look(name: str, loop: loops.Loop) -> list[Words]:
    """What a tool finds in a loop, each finding once; a failure of the tool is its own line."""
    logging.disable()
    try:
        peer, _ = loops.run(loop, PEERS[name])
    except Exception as error:
        return [(f"{type(error).__name__}: {error}"[:80], 0)]
    return list(dict.fromkeys(peer.findings()))


@dataclass(frozen=True)
class Row:
    """A tool's words about one loop, as far as they count."""

    loop: loops.Loop
    truth: str
    named: list[set[str]]

    @property
    def flagged(self) -> bool:
        return bool(self.named)

    @property
    def first(self) -> bool:
        return self.flagged and bool(self.named[0] & self.loop.accepted)

    @property
    def any(self) -> bool:
        return any(named & self.loop.accepted for named in self.named)


@cache
def drawn() -> list[loops.Outcome]:
    """The loops of the held-out half that are clearly faulty or healthy, by the rules that had not seen them.

    Their order is drawn: those that were looked at before a run was stopped are a sample of all.
    """
    outcomes = loops.diagnosed("held-out", opened=True)
    return random.Random(SEED).sample(outcomes, len(outcomes))


def seen_by(tool: str, findings: dict[str, Any], worst: bool = False) -> list[Row]:
    """The loops that every tool has seen; `worst`: only what a tool calls worse than a warning."""
    rows = []
    for outcome in drawn():
        if not all(outcome.loop.name in seen for seen in findings.values()):
            continue
        if tool == "optilab.watch":
            named = [{rule} for rule in outcome.named]
        else:
            words = findings[tool][outcome.loop.name]
            named = [MEANS.get(text, set()) for text, level in words if level >= 1 + worst]
        rows.append(Row(outcome.loop, outcome.truth, named))
    return rows


def rows(document: dict[str, Any]) -> Iterator[figures.Row]:
    """Flagged, falsely flagged and causes, of every tool."""
    for tool in ("optilab.watch", *PEERS):
        package = PEERS[tool].package if tool in PEERS else ""
        title = tool.replace(package, f"{package} {document['versions'][package]}") if package else tool
        for worst in (False, True) if tool in WORSE else (False,):
            seen = seen_by(tool, document["findings"], worst)
            faulty = [row for row in seen if row.truth == "faulty"]
            healthy = [row for row in seen if row.truth == "healthy"]
            yield [
                title + (f", {WORSE[tool]} alone" if worst else ""),
                [sum(row.flagged for row in faulty), len(faulty)],
                [sum(row.flagged for row in healthy), len(healthy)],
                [sum(row.first for row in faulty), len(faulty)],
                [sum(row.any for row in faulty), len(faulty)],
            ]


def costs(measured: dict[str, dict[str, list[float]]]) -> Iterator[figures.Row]:
    """The median over blocks of the time of a step over that of the plain step in the same block."""
    for tool in ("optilab.watch", *PEERS):
        ratios = [
            statistics.median(watched / plain for watched, plain in zip(times[tool], times["plain"], strict=True))
            for times in measured.values()
        ]
        yield [tool, *(f"{ratio:.2f}" for ratio in ratios)]


def cost(steps: int, block: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of CPU time of a step, in blocks that alternate: network -> tool -> blocks.

    A block is as long as the distance of two steps that a tool looks into, so that each pays for its part.
    """
    times_by_loop: dict[str, dict[str, list[float]]] = {}
    for name in NETWORKS:
        makers: dict[str, Any] = {"plain": Peer, "optilab.watch": loops.watched, **PEERS}
        taken = {tool: stepper(name, attach, SAMPLES) for tool, attach in makers.items()}
        times: dict[str, list[float]] = {tool: [] for tool in taken}
        for step in taken.values():
            per_step(step, 3)
        for _ in range(steps // block):
            for tool, step in taken.items():
                times[tool].append(per_step(step, block))
        times_by_loop[name] = times
    return times_by_loop


def main(arguments: list[str]) -> None:
    parser = figures.parser("peers", __doc__)
    parser.add_argument("--run", action="store_true", help="run the tools on the loops that they have not seen")
    parser.add_argument("--cost", action="store_true", help="measure what a step costs")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--block", type=int, default=50)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    document = stored.read(STORED) if STORED.exists() else {"findings": {}, "cost": {}, "versions": {}}
    if options.cost:
        write(STORED, document | {"cost": cost(options.steps, options.block)})
    elif options.run:
        document["versions"] |= {peer.package: importlib.metadata.version(peer.package) for peer in PEERS.values()}
        for outcome, tool in itertools.product(drawn(), PEERS):
            known = document["findings"].setdefault(tool, {})
            if outcome.loop.name not in known:
                known[outcome.loop.name] = look(tool, outcome.loop)
                print(
                    tool, outcome.loop.name, outcome.truth, known[outcome.loop.name], file=sys.stderr, flush=True
                )
                write(STORED, document)
    else:
        columns = [
            "tool",
            "faulty: flagged",
            "healthy: flagged",
            "faulty: first cause right",
            "faulty: some cause right",
        ]
        figures.record("tools", "peers", columns, [*rows(document)], options.print, STORED.name)
        plain = {name: 1000 * statistics.median(times["plain"]) for name, times in document["cost"].items()}
        columns = [
            "time of a step over that of the plain step",
            *(f"{name}, {ms:.2g} ms" for name, ms in plain.items()),
        ]
        figures.record("cost", "peers", columns, [*costs(document["cost"])], options.print, STORED.name)
