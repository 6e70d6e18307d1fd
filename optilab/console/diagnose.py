"""`optilab diagnose`: the layers with bars for their gradients, the findings, the commands to try."""

from collections.abc import Sequence
from typing import Any

from optilab.diagnose import TRIAL_BATCHES, Evidence, Finding, Severity, commands, verdict
from optilab.show import terminal
from optilab.show.chart_text import bar

STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
COLUMNS = (
    "|g|, |w|, |dw|: norms of a layer's gradient, weights and step, means over the probed batches\n"
    "bars: |g| against the largest, empty at 1e-4 of it; mean, std: of the outputs\n"
    "sat.: outputs where the activation is flat; dead: units that are flat for every image of a batch"
)


def _bar(norm: float | None, largest: float | None, width: int = 8) -> str:
    return bar(norm, largest, width, blocks=terminal.out.encoding.startswith("utf"))


def _largest(layers: Sequence[dict[str, Any]]) -> float | None:
    return max((layer["gradient_norm"] for layer in layers if layer["gradient_norm"] is not None), default=None)


def thermometer(layers: Sequence[dict[str, Any]], width: int = 100) -> str:
    """`gradient  1 ▎ 9e-09   2 ▌ 2e-07 ...`: a bar per layer; the middle of a deep network is left out."""
    names = [*map(str, range(1, len(layers))), "out"]
    cells = [
        f"{name} {_bar(layer['gradient_norm'], _largest(layers), 3)} {_short(layer['gradient_norm'], 0)}"
        for name, layer in zip(names, layers, strict=True)
    ]
    room = max(2, (width - 9) // 14)
    if len(cells) > room:
        cells = [*cells[: room - 2], "...", cells[-1]]
    return "gradient  " + "   ".join(cells)


def _short(value: float | None, digits: int = 2) -> str:
    return "none" if value is None else f"{value:.{digits}e}"


def show(target: str, evidence: Evidence, findings: Sequence[Finding], config: str) -> None:
    """The layers, the verdict, and for each finding what to try."""
    kind = (
        f"trial of {TRIAL_BATCHES} batches, nothing is written"
        if evidence.trial
        else f"{len(evidence.rows)} epochs"
    )
    terminal.say(f"{target} ({kind})", style="bold")
    if evidence.epochs:
        terminal.say()
        terminal.show(_layers(evidence))
        terminal.say(COLUMNS, style="dim")
    terminal.say()
    sick = verdict.sick(findings)
    terminal.say(verdict.sentence(evidence, findings), style="" if sick else "green")
    if text := verdict.stability(evidence):
        terminal.say(text)
    if sick and (text := predicted(evidence)):
        terminal.say(text)
    for finding in findings:
        terminal.say()
        terminal.say(line(finding), STYLES[finding.severity])
        for number, command in enumerate(commands(finding, config)):
            terminal.say(f"  {'try' if number == 0 else ' or'}: {command}")
        if finding.advice:
            terminal.say(f"  {finding.advice}")


def line(finding: Finding) -> str:
    """A finding with its number, the threshold and what is normal."""
    name = "note" if finding.severity is Severity.INFO else finding.severity.name.lower()
    bounds = f"threshold: {finding.threshold}; normal: {finding.normal}"
    return f"{name}: {finding.rule}: {finding.text} ({bounds})"


def _layers(evidence: Evidence) -> Any:
    layers = evidence.epochs[-1]["layers"]
    names = [*map(str, range(1, len(layers))), "out"]
    keep = range(len(layers)) if len(layers) <= 12 else [*range(6), *range(len(layers) - 4, len(layers))]
    headings = ["layer", "|g|", "", "|g|/|w|", "|dw|/|w|", "mean", "std", "sat.", "dead"]
    rows = []
    for number in keep:
        layer = layers[number]
        norms = [_short(layer["gradient_norm"]), _bar(layer["gradient_norm"], _largest(layers))]
        ratios = [_short(layer[key]) for key in ("gradient_to_weight", "update_to_weight")]
        moments = ["" if layer[k] is None else f"{layer[k]:.3g}" for k in ("activation_mean", "activation_std")]
        shares = ["" if layer[k] is None else f"{layer[k]:.0%}" for k in ("saturated", "dead")]
        rows.append([names[number], *norms, *ratios, *moments, *shares])
    return terminal.grid(headings, rows, left=(0, 2))


def predicted(evidence: Evidence) -> str:
    """The gradient ratio that theory predicts for the first weights, beside the measured one; empty without theory."""
    ratio, theory = evidence.first_ratio, evidence.start.get("predicted_ratio")
    if ratio is None or theory is None:
        return ""
    layers = len(evidence.start["sample_gradients"]) - 1
    of = f"|g1|/|g{layers}|, layer 1's gradient over layer {layers}'s, of single images before training"
    return f"{of}: mean-field theory {theory:.2g}, measured {ratio:.2g}"


def top(evidence: Evidence, findings: Sequence[Finding], config: str) -> None:
    """The end of a training: what it has learned, the gravest finding and what to try, or the verdict."""
    text, learns = verdict.learning(evidence)
    terminal.say(text, style="green" if learns else "yellow")
    if text := verdict.stability(evidence):
        terminal.say(text)
    if not verdict.sick(findings):
        terminal.say(f"diagnosis: {verdict.sentence(evidence, findings)}")
        return
    first = findings[0]
    if first.rule == "vanishing-gradient" and (text := predicted(evidence)):
        terminal.say(text)
    terminal.say(f"diagnosis: {line(first)}", STYLES[first.severity])
    for command in commands(first, config)[:1]:
        terminal.say(f"  try: {command}")
    if first.advice:
        terminal.say(f"  {first.advice}")
    if len(findings) > 1 or len(first.remedies) > 1:
        terminal.say(f"  more: optilab diagnose {config.removesuffix('/config.yaml')}")


def document(target: str, evidence: Evidence, findings: Sequence[Finding], config: str) -> dict[str, Any]:
    """The JSON document: verdict, findings, most severe first, and the last epoch's layers at full precision."""
    return {
        "target": target,
        "trial": evidence.trial,
        "verdict": verdict.sentence(evidence, findings),
        "healthy": not verdict.sick(findings),
        "stability": verdict.stability(evidence) or None,
        "predicted_ratio": evidence.start.get("predicted_ratio"),
        "measured_ratio": evidence.first_ratio,
        "layers": list(evidence.epochs[-1]["layers"]) if evidence.epochs else [],
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.name.lower(),
                "text": finding.text,
                "threshold": finding.threshold,
                "normal": finding.normal,
                "evidence": finding.evidence,
                "remedies": commands(finding, config),
                "advice": finding.advice,
            }
            for finding in findings
        ],
    }
