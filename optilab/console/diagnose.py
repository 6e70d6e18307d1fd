"""`optilab diagnose`: the layers as a thermometer of gradients, the findings, the commands to try."""

import math
from collections.abc import Sequence
from typing import Any

from optilab import console
from optilab.studies.diagnose import Evidence, Finding, Severity, commands

BARS = " ▏▎▍▌▋▊▉█"
STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}
LOW, HIGH = 1e-9, 1.0  # ends of the thermometer's scale


def bar(norm: float | None, width: int = 8) -> str:
    """A gradient norm on a log scale from LOW to HIGH, in eighths of a character; `#` without Unicode."""
    share = 0.0 if not norm else (math.log10(norm) - math.log10(LOW)) / (math.log10(HIGH) - math.log10(LOW))
    share = min(1.0, max(0.0, share))
    if not console.out.encoding.startswith("utf"):
        return "#" * round(share * width)
    full, part = divmod(round(share * width * 8), 8)
    return BARS[8] * full + (BARS[part] if part else "")


def thermometer(layers: Sequence[dict[str, Any]], width: int = 100) -> str:
    """`gradient  1 ▎ 9e-09   2 ▌ 2e-07 ...`: a bar per layer; the middle of a deep network is left out."""
    names = [*map(str, range(1, len(layers))), "out"]
    cells = [
        f"{name} {bar(layer['gradient_norm'], 3)} {_short(layer['gradient_norm'])}"
        for name, layer in zip(names, layers, strict=True)
    ]
    room = max(2, (width - 9) // 14)
    if len(cells) > room:
        cells = [*cells[: room - 2], "...", cells[-1]]
    return "gradient  " + "   ".join(cells)


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.0e}"


def show(target: str, evidence: Evidence, findings: Sequence[Finding], config: str) -> None:
    """The layers, the findings, and for each what to try."""
    console.say(target, style="bold")
    if evidence.epochs:
        console.say()
        console.show(_layers(evidence))
        if text := predicted(evidence):
            console.say(text)
    if not any(finding.severity > Severity.INFO for finding in findings):
        console.say()
        console.say("healthy: nothing keeps this network from learning", style="green")
    for finding in findings:
        console.say()
        console.say(f"{finding.severity.name.lower()}: {finding.rule}: {finding.text}", STYLES[finding.severity])
        for number, command in enumerate(commands(finding, config)):
            console.say(f"  {'try' if number == 0 else ' or'}: {command}")


def _layers(evidence: Evidence) -> Any:
    layers = evidence.epochs[-1]["layers"]
    names = [*map(str, range(1, len(layers))), "out"]
    keep = range(len(layers)) if len(layers) <= 12 else [*range(6), *range(len(layers) - 4, len(layers))]
    headings = ["layer", "|g|", "", "|g|/|w|", "|dw|/|w|", "mean", "std", "sat.", "dead"]
    keys = ["gradient_to_weight", "update_to_weight"], ["activation_mean", "activation_std"], ["saturated", "dead"]
    rows = []
    for number in keep:
        layer = layers[number]
        ratios = [_short(layer[key]) for key in keys[0]]
        moments = ["" if layer[key] is None else f"{layer[key]:.3g}" for key in keys[1]]
        shares = ["" if layer[key] is None else f"{layer[key]:.0%}" for key in keys[2]]
        norm = layer["gradient_norm"]
        rows.append(
            [names[number], f"{norm:.1e}" if norm is not None else "none", bar(norm), *ratios, *moments, *shares]
        )
    return console.grid(headings, rows, left=(0, 2))


def predicted(evidence: Evidence) -> str:
    """The gradient ratio that theory predicts for the first weights, beside the measured one; empty without theory."""
    record = next((r for r in evidence.records if r.get("predicted_ratio") is not None), None)
    gradients = record.get("sample_gradients", []) if record else []
    if record is None or len(gradients) < 3 or not gradients[0] or not gradients[-2]:
        return ""
    ratio = f"|g1|/|g{len(gradients) - 1}| of single images before training"
    return (
        f"{ratio}: mean-field theory {record['predicted_ratio']:.2g}, measured {gradients[0] / gradients[-2]:.2g}"
    )


def top(evidence: Evidence, findings: Sequence[Finding], config: str) -> None:
    """The end of a training: the gravest finding and what to try, or that all is well."""
    if not findings or findings[0].severity is Severity.INFO:
        console.say("diagnosis: healthy", style="green")
        return
    if text := predicted(evidence):
        console.say(text)
    first = findings[0]
    console.say(f"diagnosis: {first.severity.name.lower()}: {first.rule}: {first.text}", STYLES[first.severity])
    for command in commands(first, config)[:1]:
        console.say(f"  try: {command}")
    if len(findings) > 1 or len(first.remedies) > 1:
        console.say(f"  more: optilab diagnose {config.removesuffix('/config.yaml')}")


def document(target: str, findings: Sequence[Finding], config: str) -> dict[str, Any]:
    """The JSON document: what was found, most severe first."""
    return {
        "target": target,
        "healthy": not any(finding.severity > Severity.INFO for finding in findings),
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.name.lower(),
                "text": finding.text,
                "evidence": finding.evidence,
                "remedies": commands(finding, config),
            }
            for finding in findings
        ],
    }
