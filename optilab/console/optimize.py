"""`optilab optimize`: the table of a path, the comparison of several, and the verdict."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from optilab import console
from optilab.config.schema.optimize import OptimizeConfig
from optilab.optimize import Regime, Status, Trajectory
from optilab.optimize.theory import best_rates, measured_rate, predict

HEAD, TAIL = 12, 8  # rows shown of a path that is longer than both


def show(
    config: OptimizeConfig,
    paths: Sequence[Trajectory],
    run: str,
    picture: bool | None = None,
    options: str | None = None,
) -> None:
    """One path in full, or a line for each of several, and the picture (None: where there is room for it).

    `options` are those that run one of several alone, beside --algo; None where --algo alone would be another rule.
    """
    if len(paths) == 1:
        _one(config, paths[0])
    else:
        best = _several(config, paths)
        if options is not None:
            console.say(f"one in full: {f'optilab optimize --algo {best} {options}'.rstrip()}")
    if console.is_wide() if picture is None else picture:
        from optilab.console import pictures  # not part of a start that shows none

        console.say()
        pictures.paths(config.function, dict(zip(config.labels, paths, strict=True)))
        console.say()
    console.say(run)


def settings(rule: Any) -> str:
    """`lr 0.2   beta1 0.9   ...`: every hyper-parameter of a rule."""
    return "   ".join(f"{f.name} {_value(getattr(rule, f.name))}" for f in fields(rule))


def _value(value: Any) -> str:
    if is_dataclass(value):  # a rule inside a rule, a schedule
        parts = [(f.name, getattr(value, f.name), f.default) for f in fields(value)]
        told = [(name, own) for name, own, usual in parts if isinstance(own, int | float) or own != usual]
        inside = ", ".join(f"{name} {_value(own)}" for name, own in told)
        return f"{getattr(value, 'name', '')} ({inside})" if inside else str(getattr(value, "name", ""))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _around(config: OptimizeConfig) -> str:
    """The schedule, decay, clipping and noise that are asked for; empty if there are none."""
    plain, regime = Regime(), config.regime
    changed = [f.name for f in fields(regime) if getattr(regime, f.name) != getattr(plain, f.name)]
    form = ["weight_decay_form"] if "weight_decay" in changed else []
    names = dict.fromkeys(changed + form)
    return "   ".join(f"{name} {_value(getattr(regime, name))}" for name in names)


def _where(config: OptimizeConfig) -> str:
    function: Any = config.function
    start = config.start or function.start
    named = [f.name for f in fields(function) if f.name not in ("formula", "dimension")]
    own = "".join(f"   {name} {_value(getattr(function, name))}" for name in named)
    return f"{function.name}   f(w) = {function.formula}{own}   start {_point(start)}"


def _point(point: Sequence[float]) -> str:
    shown = [f"{value:g}" for value in point[:4]] + ["..."] * (len(point) > 4)
    return f"({', '.join(shown)})"


def _one(config: OptimizeConfig, path: Trajectory) -> None:
    rule = config.algo[0]
    console.say(f"{rule.name} on {_where(config)}", style="bold")
    console.say(settings(rule))
    console.say(rule.formula)
    if around := _around(config):
        console.say(around)
    console.say()
    console.show(_table(path))
    console.say()
    console.say(verdict(config, path), style=_STYLES[path.status])
    if said := theory(config, rule, path):
        console.say(said)


def _table(path: Trajectory) -> Any:
    dimension = min(path.points.shape[-1], 4)
    names = [f"w{i + 1}" for i in range(dimension)]
    epochs = list(range(len(path.values)))
    if len(epochs) > HEAD + TAIL + 1:
        epochs = [*epochs[:HEAD], -1, *epochs[-TAIL:]]
    rows = []
    for epoch in epochs:
        if epoch < 0:
            rows.append(["..."] * (dimension + 3))
            continue
        point = [_number(value) for value in path.points[epoch][:dimension]]
        rows.append([str(epoch), *point, _number(path.values[epoch]), f"{path.gradient_norms[epoch]:.5g}"])
    return console.grid(["epoch", *names, "f(w)", "|grad|"], rows, left=())


def _number(value: float) -> str:
    """Six decimals where they tell something, else the exponent form."""
    return f"{value:.6f}" if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:.5e}"


def verdict(config: OptimizeConfig, path: Trajectory) -> str:
    """One line: how the path ended, where, how far from the minimum, what to do."""
    end, start = float(path.values[-1]), float(path.values[0])
    at = f"f = {end:.3g} at {_point(path.points[-1])}"
    nearest = path.distance(config.function.minima)
    away = f"; {nearest[0]:.3g} from the minimum {_point(nearest[1])}" if nearest else ""
    if path.status is Status.CONVERGED:
        first = path.first_below(config.tolerance)
        return f"converged: {at}{away}; |grad| below {config.tolerance:g} from epoch {first}"
    if path.status is Status.MOVING:
        falling = "falling" if len(path.values) < 2 or path.values[-1] < path.values[-2] else "rising"
        return f"still moving: {at} and {falling}{away}"
    if path.diverged_at is not None:
        return f"diverged: not finite after step {path.diverged_at}; last finite {at}; try a smaller lr"
    return f"diverged: f rose from {start:.3g} to {end:.3g} in {len(path.values) - 1} steps; try a smaller lr"


def theory(config: OptimizeConfig, rule: Any, path: Trajectory) -> str | None:
    """What theory says of a rule on a quadratic, beside what was measured; None on other functions."""
    bounds = best_rates(config.function) if config.regime == Regime() else None
    if bounds is None:
        return None
    measured = measured_rate(path, config.function)
    found = f" (measured x{measured:.4g})" if measured is not None else ""
    prediction = predict(rule, config.function)
    if prediction is None:
        known = f"the best that gradient descent can is x{bounds['sgd']:.4g}, momentum x{bounds['momentum']:.4g}"
        return f"theory: no rate per step, because {rule.name} is not linear in the gradients{found}; {known}"
    said = "stable up to" if prediction.stable else "unstable, stable below"
    rate = f"distance x{prediction.rate:.4g} per step in the long run"
    best = ", ".join(f"{key} {value:.4g}" for key, value in prediction.best.items())
    advice = f"; best: {best} with x{prediction.best_rate:.4g}" if best else ""
    return f"theory: {said} lr {prediction.largest_lr:.4g}; {rate}{found}{advice}"


_STYLES = {Status.CONVERGED: "green", Status.MOVING: "yellow", Status.DIVERGED: "red"}


def _several(config: OptimizeConfig, paths: Sequence[Trajectory]) -> str:
    """The comparison; gives the name of the best."""
    console.say(f"{len(paths)} algorithms on {_where(config)}   {config.epochs} epochs", style="bold")
    if around := _around(config):
        console.say(around)
    console.say()
    order = {Status.CONVERGED: 0, Status.MOVING: 1, Status.DIVERGED: 2}
    ranked = sorted(
        zip(config.labels, config.algo, paths, strict=True),
        key=lambda one: (order[one[2].status], float(one[2].values[-1])),
    )
    rows = []
    for label, _, path in ranked:
        nearest = path.distance(config.function.minima)
        first = path.first_below(config.tolerance)
        end = [f"{value:.3g}" for value in path.points[-1][:4]]
        rows.append(
            [
                label,
                *end,
                f"{path.values[-1]:.3g}",
                f"{nearest[0]:.3g}" if nearest else "-",
                "-" if first is None else str(first),
                path.status.value,
            ]
        )
    names = [f"w{i + 1}" for i in range(len(end))]
    headings = ["algo", *names, "f(w)", "distance", f"|grad|<{config.tolerance:g}", "verdict"]
    console.show(console.grid(headings, rows, left=(0, len(headings) - 1)))
    console.say()
    console.show(
        console.grid(
            ["", ""], [[label, settings(rule)] for label, rule, _ in ranked], left=(0, 1), show_header=False
        )
    )
    console.say()
    said = [f"{label}: {words}" for label, rule, path in ranked if (words := theory(config, rule, path))]
    for line in said:
        console.say(line)
    if said:
        console.say()
    return str(ranked[0][1].name)
