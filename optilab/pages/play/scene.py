"""What a page shows when it is opened, its data, and the page."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from optilab.config.load import dump
from optilab.config.optimize import OptimizeConfig
from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, Objective, Regime, Rule, Trajectory, theory
from optilab.optimize.emit import value_source
from optilab.optimize.path import DIVERGENCE_FACTOR, lowest
from optilab.optimize.trace import Untraceable
from optilab.pages.environment import asset, render
from optilab.pages.play.controls import control
from optilab.pages.play.programs import Sources, forms, obstacle
from optilab.show.chart import MARKERS

MOST_EPOCHS = 10_000
"""Epochs that a page computes."""
RECORDED = 2_000
"""Points of all recordings of a page together; longer ones are thinned evenly."""

_SCRIPTS = ("model.js", "pictures.js", "panel.js", "player.js")


@dataclass(frozen=True)
class Recording:
    """A path that the page shows but does not compute, and why."""

    path: Trajectory
    reason: str


@dataclass(frozen=True)
class Scene:
    """Rules on a function of one or two variables.

    `trees` are the rules in a config. `recordings` belong to the rules of the same index. `command` is the part of a
    command line that chooses the function.
    """

    function: Objective
    rules: Sequence[Rule]
    trees: Sequence[Mapping[str, Any]]
    start: Sequence[float]
    epochs: int
    tolerance: float
    command: str
    recordings: Mapping[int, Recording] = field(default_factory=dict)
    note: str = ""


def scene(config: OptimizeConfig, note: str = "") -> Scene:
    """The rules of a config, computed by the page. `require` says whether it can."""
    tree = dump(config)
    start = config.function.start if config.start is None else config.start
    command = _command(config.function, tree["function"])
    return Scene(
        config.function, config.algo, tree["algo"], start, config.epochs, config.tolerance, command, note=note
    )


def recorded(config: OptimizeConfig, paths: Sequence[Trajectory], note: str = "") -> Scene:
    """The rules of a config; the page computes those that it can, the others are recordings of their paths."""
    recordings = {}
    for index, (rule, path) in enumerate(zip(config.algo, paths, strict=True)):
        if config.regime != Regime():
            reason: str | None = "schedule, weight decay, clipping and noise are not computed here"
        elif config.epochs > MOST_EPOCHS:
            reason = f"more than {MOST_EPOCHS:,} epochs"
        else:
            reason = obstacle(rule, config.function)
        if reason is not None:
            recordings[index] = Recording(path, reason)
    return replace(scene(config, note), recordings=recordings)


def _command(function: Objective, tree: Mapping[str, Any]) -> str:
    """The options that choose a function, to be typed."""
    if tree["name"] == "expression":
        return f"--function {shlex.quote(tree['formula'])}"
    if function == OBJECTIVES[function.name]():
        return f"--function {function.name}"
    return f"--set {shlex.quote(f'function={json.dumps(tree)}')}"


def _settings(function: Objective) -> str:
    """The settings of a function that its formula names: `a 1, b 100`."""
    own = {f.name: getattr(function, f.name) for f in fields(function) if f.name not in ("formula", "dimension")}  # type: ignore[arg-type]
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in own.items()
    )


def page(scene: Scene) -> bytes:
    """The page. UsageError for too many variables, and for a rule or a function without a program."""
    if len(scene.function.start) > 2:
        name, count = scene.function.name, len(scene.function.start)
        raise UsageError(f"a page needs a function of one or two variables; {name} has {count}")
    try:
        tree, sources = data(scene)
    except Untraceable as error:
        raise UsageError(f"{scene.function.name} cannot become a page ({error})") from None
    programs = "const PROGRAMS = [" + ",\n".join(sources) + "];\n"
    names = ", ".join(dict.fromkeys(rule.name for rule in scene.rules))
    return render(
        "play.html",
        tree,
        [programs, *map(asset, _SCRIPTS)],
        [asset("play.css")],
        title=f"{names} on {scene.function.name}",
        formula=scene.function.formula,
        settings=_settings(scene.function),
        note=scene.note,
        plane=len(scene.function.start) == 2,
        movable=len(scene.recordings) < len(scene.rules),
    )


def data(scene: Scene) -> tuple[dict[str, Any], list[str]]:
    """The data of the page, and the sources of its programs, the last of which is the function's value."""
    function, sources = scene.function, Sources()
    minima = [_minimum(function, point) for point in function.minima]
    curvatures = next((minimum["curvatures"] for minimum in minima if minimum["curvatures"]), None)
    share = RECORDED // max(1, len(scene.recordings))
    rules = []
    for index, key in enumerate(_keys(scene.trees)):
        rule = scene.rules[index]
        again = sum(other.name == rule.name for other in scene.rules[: index + 1])
        name = rule.name if again == 1 else f"{rule.name} #{again}"
        entry = {"key": key, "name": name, "spec": scene.trees[index]["name"], "formula": rule.formula}
        entry |= {"marker": MARKERS[index % len(MARKERS)]}
        if recording := scene.recordings.get(index):
            entry |= {"recording": _thinned(recording.path, share), "reason": recording.reason}
        else:
            entry |= _moving(rule, scene.trees[index], function, sources, curvatures)
        rules.append(entry)
    plotted = {
        "name": function.name,
        "dimension": len(function.start),
        "box": function.box,
        "minima": minima,
        "everywhere": theory.curvatures(function) is not None,
        "lowest": lowest(function),
    }
    given = {
        "start": list(map(float, scene.start)),
        "epochs": scene.epochs,
        "tolerance": scene.tolerance,
        "command": scene.command,
        "most_epochs": MOST_EPOCHS,
        "diverged": DIVERGENCE_FACTOR,
    }
    return {"function": plotted, "rules": rules, **given}, [*sources.sources, value_source(function)]


def _moving(
    rule: Rule,
    tree: Mapping[str, Any],
    function: Objective,
    sources: Sources,
    curvatures: list[float] | None,
) -> dict[str, Any]:
    """The programs and sliders of a rule. Raises Untraceable."""
    found, open_choices = forms(rule, function, sources)
    names = list(dict.fromkeys(name for form in found for name in (*form.off, *form.settings)))
    names.sort(key=[f.name for f in fields(rule)].index)  # type: ignore[arg-type]
    limit = None
    if curvatures and getattr(rule, "recurrence", None) is not None:
        limit = float(theory.largest_lr(rule, np.array(curvatures)))
    shown = {"name", "sha256", *names, *(choice.name for choice in open_choices)}
    return {
        "forms": [asdict(form) for form in found],
        "choices": [asdict(choice) for choice in open_choices],
        "controls": [asdict(control(rule, name, limit if name == "lr" else None)) for name in names],
        "fixed": {key: value for key, value in tree.items() if key not in shown},
    }


def _minimum(function: Objective, point: Sequence[float]) -> dict[str, Any]:
    """A minimum and the curvatures there, ascending; None unless all are positive."""
    with np.errstate(all="ignore"):
        hessian = function.hessian(np.array(point, dtype=float))
    found = np.linalg.eigvalsh(hessian) if np.isfinite(hessian).all() else np.zeros(1)
    bowl = found[0] > 1e-9 * found[-1] > 0
    return {"point": list(map(float, point)), "curvatures": found.tolist() if bowl else None}


def _thinned(path: Trajectory, most: int) -> dict[str, Any]:
    """The points of a path, at most so many and evenly spaced: their epochs, coordinates, values and gradients."""
    last = len(path.points) - 1
    epochs = np.unique(np.linspace(0, last, min(last + 1, most)).round().astype(int))
    rows = np.column_stack([path.points, path.values, path.gradients])[epochs]
    numbers = [[float(f"{number:.9g}") for number in row] for row in rows.tolist()]
    return {"epochs": epochs.tolist(), "rows": numbers, "status": path.status.value}


def _keys(trees: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rules' names in the address, each once: `sgd`, `sgd-2`."""
    seen: Counter[str] = Counter()
    keys = []
    for tree in trees:
        short = str(tree["name"]).rpartition(":")[2]
        seen[short] += 1
        keys.append(short if seen[short] == 1 else f"{short}-{seen[short]}")
    return keys
