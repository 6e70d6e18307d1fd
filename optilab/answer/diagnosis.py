"""The diagnosis of a training as an answer: layers, findings, and what to try."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log10
from typing import Any, ClassVar

from optilab.answer.answer import Answer
from optilab.diagnose import (
    Evidence,
    Finding,
    Severity,
    commands,
    verdict,
)
from optilab.errors import ExitCode
from optilab.numbers import exponent
from optilab.proposals import Call, Proposal
from optilab.show import terminal
from optilab.show.blocks import Block, Details, Sentence
from optilab.show.table import Table, grid
from optilab.words import plural


@dataclass(frozen=True, repr=False)
class Diagnosis(Answer):
    """The diagnosis of a training: the layers with bars for their gradients, the findings, the commands to try."""

    target: str
    evidence: Evidence
    findings: Sequence[Finding]
    config: str
    """The value of `--config` in proposed commands."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """The keys that the request changes in the config."""
    schema_version: ClassVar[int] = 4
    level: Severity | None = None
    """The exit status is 9 unless the network is `verdict.healthy` at this level."""

    @property
    def headline(self) -> str:
        return f"{self.target}: {verdict.sentence(self.evidence, self.findings)}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row per finding, most severe first."""
        return [
            {
                "finding": finding.name,
                "severity": finding.severity.name.lower(),
                "text": finding.text,
                "threshold": finding.threshold,
                "normal": finding.normal,
                "evidence": finding.evidence,
                "remedies": [str(command) for command in commands(finding, self.config, self.changes)],
                "advice": finding.advice,
            }
            for finding in self.findings
        ]

    @property
    def _next_steps(self) -> Sequence[Call]:
        """The commands to try where there is no fault."""
        return verdict.next_steps(self.evidence, self.findings, self.config, self.changes)

    @property
    def both(self) -> Call | None:
        """The command that tries the first remedies of two findings."""
        return verdict.both(self.findings, self.config, self.changes)

    @property
    def healthy(self) -> bool:
        """True if the network has learned, the watch is complete, and no finding is a warning or critical."""
        return verdict.healthy(self.evidence, self.findings)

    @property
    def code(self) -> ExitCode:
        if self.level is None:
            return ExitCode.OK
        if self.evidence.probe_run and not self.evidence.setup.loop:  # of a config, which is not trained
            passes = all(finding.severity < self.level for finding in self.findings)
        else:
            passes = verdict.healthy(self.evidence, self.findings, self.level)
        return ExitCode.OK if passes else ExitCode.EXPECTATION

    def blocks(self) -> Iterator[Block]:
        """The layers, the verdict, and for each finding what to try."""
        evidence, epochs = self.evidence, plural(len(self.evidence.rows), "epoch")
        if evidence.setup.loop:
            scope = f"{evidence.steps:,} steps watched, {evidence.loop.samples} probed"
        else:
            scope = f"probe run of {evidence.steps} batches" if evidence.probe_run else epochs
        yield Sentence(f"{self.target} ({scope})", "bold")
        if evidence.epochs:
            yield ""
            yield _layers(evidence, SCREEN)
            yield Sentence(LEGEND, "dim")
        if evidence.loop.compiled:
            yield Sentence(
                "torch.compile hides the layers' outputs: their mean, std, sat. and dead are unknown", "dim"
            )
        yield from ["", *summary] if (summary := [*self._summary()]) else []
        for finding in self.findings:
            yield ""
            yield Sentence(_line(finding), STYLES[finding.severity])
            yield from _tries(commands(finding, self.config, self.changes), finding.advice)
        if self.both:
            yield from ("", Proposal("for the first two at once: ", self.both))
        yield Details("Details", [*self.numbers()], folded=True)

    def _summary(self) -> Iterator[Block]:
        """The verdict of a network without a fault, and the limits and the stability that no finding mentions."""
        evidence = self.evidence
        if not verdict.has_fault(self.findings):
            yield Sentence(verdict.sentence(evidence, self.findings), "green" if self.healthy else "")
            yield from _tries(self._next_steps)
        elif missed := verdict.missed_steps(evidence):
            yield missed
        if text := verdict.stability(evidence):
            yield text

    def numbers(self) -> Iterator[Block]:
        """Every number of the layers, the bounds of the findings, and what a probe run cannot show."""
        evidence = self.evidence
        if evidence.epochs:
            yield _layers(evidence, HEADINGS)
            yield ALL_NUMBERS
        for finding in self.findings:
            if finding.threshold:
                yield f"{finding.name}: threshold {finding.threshold}; normal {finding.normal}"
        if evidence.probe_run:
            yield verdict.limits_of_a_probe_run(evidence)

    def background(self) -> Iterator[Block]:
        """The loss next to that of the chance level, and `numbers`."""
        if self.evidence.start.get("classes") != 1:
            yield verdict.loss_against_chance(self.evidence)
        yield from self.numbers()

    def brief(self) -> Iterator[Block]:
        """The end of a training: what it has learned, the gravest finding and what to try, or the verdict."""
        text, learns = verdict.learning(self.evidence)
        yield Sentence(text, "green" if learns else "yellow")
        if text := verdict.stability(self.evidence):
            yield text
        if not verdict.has_fault(self.findings):
            yield f"diagnosis: {verdict.sentence(self.evidence, self.findings, with_accuracy=False)}"
            yield from _tries(self._next_steps[:1])
            return
        first = self.findings[0]
        yield Sentence(f"diagnosis: {_line(first)}", STYLES[first.severity])
        yield from _tries(commands(first, self.config, self.changes)[:1], first.advice)
        if self.both:
            yield Proposal(f"also {self.findings[1].name}; for both at once: ", self.both)
        if len(self.findings) > 1 or len(first.remedies) > 1:
            yield Proposal("  more: ", Call("diagnose", [self.config.removesuffix("/config.yaml")]))

    def document(self) -> Mapping[str, Any]:
        """Verdict, findings, and the last epoch's layers at full precision."""
        evidence = self.evidence
        return {
            "target": self.target,
            "probe_run": evidence.probe_run,
            "verdict": verdict.sentence(evidence, self.findings),
            "healthy": self.healthy,
            "both": self.both and str(self.both),
            "stability": verdict.stability(evidence) or None,
            "initial_gradient_ratio": evidence.first_ratio,
            "layers": list(evidence.epochs[-1]["layers"]) if evidence.epochs else [],
            "findings": self.rows,
        }


def _tries(steps: Iterable[Call | str], advice: str = "") -> Iterator[Block]:
    """What to try: commands or lines of PyTorch, and advice."""
    for number, step in enumerate(steps):
        label = "   or: " if number else "  try: "
        yield Proposal(label, step) if isinstance(step, Call) else f"{label}{step}"
    if advice:
        yield f"  {advice}"


STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
HEADINGS = ("layer", "|g|", "", "|g|/|w|", "|dw|/|w|", "mean", "std", "sat.", "dead")
SCREEN = ("layer", "|g|", "", "|dw|/|w|", "sat.", "dead")
"""The columns that say most, and are not those of another column times a constant."""
LEGEND = "|g|: gradient norm; |dw|/|w|: relative step; sat., dead: flat outputs, units"
ALL_NUMBERS = (
    "|g|, |w|, |dw|: norms of a layer's gradient, weights and step, means over the probed batches\n"
    "bars: |g| against the largest, empty at 1e-4 of it; mean, std: of the outputs\n"
    "sat.: outputs where the activation is flat; dead: units that are flat for every image of a batch"
)
BARS = " ▏▎▍▌▋▊▉█"
WIDTH, DECADES = 8, 4.0
"""A bar is empty for a norm of 1e-4 of the largest one, and full for the largest."""


def bar(norm: float | None, largest: float | None) -> str:
    """A norm next to the largest one, over DECADES, in eighths of a character; `#` without Unicode's blocks."""
    length = 1 + log10(norm / largest) / DECADES if norm and largest else 0.0
    length = min(1.0, max(0.0, length))
    if not terminal.out.encoding.startswith("utf"):
        return "#" * round(length * WIDTH)
    full, part = divmod(round(length * WIDTH * 8), 8)
    return BARS[8] * full + (BARS[part] if part else "")


def _largest(layers: Sequence[dict[str, Any]]) -> float | None:
    return max((layer["gradient_norm"] for layer in layers if layer["gradient_norm"] is not None), default=None)


def _line(finding: Finding) -> str:
    """A finding with its number."""
    return f"{finding.severity.name.lower()}: {finding.name}: {finding.text}"


def _layers(evidence: Evidence, chosen: Sequence[str]) -> Table:
    """The layers after the last epoch, with the `chosen` columns of HEADINGS."""
    layers = evidence.epochs[-1]["layers"]
    names = [*map(str, range(1, len(layers))), "out"]
    keep = range(len(layers)) if len(layers) <= 12 else [*range(6), *range(len(layers) - 4, len(layers))]
    columns = [HEADINGS.index(heading) for heading in chosen]
    rows = []
    for number in keep:
        layer = layers[number]
        norms = [exponent(layer["gradient_norm"]), bar(layer["gradient_norm"], _largest(layers))]
        ratios = [exponent(layer[key]) for key in ("gradient_to_weight", "update_to_weight")]
        moments = ["" if layer[k] is None else f"{layer[k]:.3g}" for k in ("activation_mean", "activation_std")]
        fractions = ["" if layer[k] is None else f"{layer[k]:.0%}" for k in ("saturated", "dead")]
        name = f"{names[number]} ({module})" if (module := layer.get("name")) else names[number]
        row = [name, *norms, *ratios, *moments, *fractions]
        rows.append([row[column] for column in columns])
    return grid(chosen, rows, left=(0, 2))
