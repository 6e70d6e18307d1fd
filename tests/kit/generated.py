"""Run directories without a training: real configs, the rows that a test wants."""

import json

from optilab import runs
from optilab.config.load import load
from optilab.config.section import dump, to_yaml
from optilab.config.training import TrainConfig
from optilab.config.tree import override_from_text

VERSIONS = {"python": "3.11.0", "optilab": "0.1.0", "numpy": "2.4.0", "torch": "2.10.0"}
UNMEASURED = ("gradient_to_weight", "activation_mean", "activation_std", "dead")
DIGESTS = {"train-images-idx3-ubyte": "00" * 32}


def training(folder, name, *changes, accuracies=(0.5, 0.6), preset="sigmoid.yaml", status="done", **manifest):
    """A training of `preset` with `KEY=VALUE` changes whose validation accuracies are given; its directory."""
    config = load(TrainConfig, preset, [override_from_text(change) for change in changes])
    rows = [
        {"epoch": epoch, "train_loss": 1 - acc, "train_acc": acc, "val_loss": 1 - acc, "val_acc": acc}
        for epoch, acc in enumerate(accuracies, start=1)
    ]
    files = {
        "config.yaml": to_yaml(config),
        "metrics.csv": runs.table(rows),
        "timings.csv": runs.table([{"epoch": row["epoch"], "seconds": 2.0} for row in rows]),
    }
    facts = {
        "command": "train",
        "argv": ["optilab", "train"],
        "versions": VERSIONS,
        "host": {"system": "Linux", "machine": "x86_64", "cores": 2},
        "environment": {},
        "seed": config.seed,
        "config": dump(config),
        "numerics": {"torch": VERSIONS["torch"], "device": "cpu", "threads": config.threads},
        "data": {"dataset": "idx", "train": 10, "validation": 10, "classes": 10, "sha256": DIGESTS},
        "status": status,
        "epoch": len(rows),
    }
    return runs.write(folder, name, files, {**facts, **manifest})


def planned(study, rows):
    """Write the plan of a study: a row per trial, of which the runs have the outcomes."""
    (study / "plan.jsonl").write_text("".join(json.dumps(plan_line(row)) + "\n" for row in rows))


def plan_line(row):
    """The line of plan.jsonl for the settings, the seed and how a trial ended."""
    facts = {key: row[key] for key in ("seed", "digest", "status", "reason") if key in row}
    settings = {key: value for key, value in row.items() if key not in {"trial", *facts}}
    return {"trial": row["trial"], "settings": settings, "seed": 42, "digest": "sha256:0", **facts}


def backwards(plan):
    """Write a plan again, with the keys of each line and of its settings in the opposite order."""
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    turned = [{key: line[key] for key in reversed(line)} for line in lines]
    for line in turned:
        line["settings"] = {key: line["settings"][key] for key in reversed(line["settings"])}
    plan.write_text("".join(json.dumps(line) + "\n" for line in turned))


def layered(run, *epochs):
    """Write the diagnostics of a run: per epoch the gradient norms of its layers, the output layer last."""
    lines = [{"epoch": 0, "prior_entropy": 2.3}]
    for epoch, norms in enumerate(epochs, start=1):
        layers = [{"gradient_norm": n, "update_to_weight": n and n / 10, "saturated": 0.25} for n in norms]
        layers = [dict.fromkeys(UNMEASURED) | layer for layer in layers]
        layers[-1]["saturated"] = None
        lines.append({"epoch": epoch, "layers": layers})
    (run / "diagnostics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
