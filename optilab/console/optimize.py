"""`optilab optimize`: the table of a path, the comparison of several, and the verdict."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any

from optilab.config.load import Override, dump, load
from optilab.config.optimize import OptimizeConfig
from optilab.optimize import Regime, Status, Trajectory
from optilab.optimize.own import OwnRule
from optilab.optimize.theory import best_rates, measured_rate, predict
from optilab.show import terminal
from optilab.words import setting, settings

HEAD, TAIL = 12, 8  # rows shown of a path that is longer than both


@dataclass(frozen=True)
class Paths:
    """The paths of a config's rules.

    chaotic: per path the first epoch from which rounding decides it, or None. tuned: the sentence on the tuning, empty
    without `--tune`.
    """

    config: OptimizeConfig
    paths: Sequence[Trajectory]
    chaotic: Sequence[int | None]
    tuned: str = ""


def show(
    result: Paths,
    written: Sequence[str],
    picture: bool | None = None,
    options: str | None = None,
) -> None:
    """One path in full, or a line for each of several, then the picture (None: where there is room) and `written`.

    `written` are the paths of the files and the run directory. `options` are those that run one of several alone,
    beside --algo; None where --algo alone would be another rule.
    """
    config, paths = result.config, result.paths
    if len(paths) == 1:
        _one(result)
    else:
        best = _several(result)
        if options is not None:
            terminal.say(f"one in full: {f'optilab optimize --algo {best} {options}'.rstrip()}")
    if terminal.is_wide() if picture is None else picture:
        from optilab.charts.paths import paths_chart  # slow to import

        terminal.say()
        terminal.draw(paths_chart(config.function, dict(zip(config.legend, paths, strict=True))))
        terminal.say()
    elif picture is None and terminal.out.is_terminal:
        terminal.say("contour and curves: --picture")
    for path in written:
        terminal.say(path)


def document(result: Paths, run: str | None) -> dict[str, Any]:
    """The document of `--json`."""
    config = result.config
    rows = zip(dump(config)["algo"], config.algo, result.paths, result.chaotic, strict=True)
    results = [
        {
            "algo": settings.pop("name"),
            "params": settings,
            "function": config.function.name,
            "epochs": config.epochs,
            "points": path.points.tolist(),
            "values": path.values.tolist(),
            "status": path.status.value,
            "diverged_at": path.diverged_at,
            "chaotic_from": chaotic,
            "theory": _theory_document(config, rule, path),
        }
        for settings, rule, path, chaotic in rows
    ]
    return {"run": run, "results": results}


def _theory_document(config: OptimizeConfig, rule: Any, path: Trajectory) -> dict[str, Any] | None:
    bounds = best_rates(config.function) if config.regime == Regime() else None
    if bounds is None:
        return None
    prediction = predict(rule, config.function, config.start)
    known = {} if prediction is None else {**asdict(prediction), "stable": prediction.stable}
    return {**known, "measured_rate": measured_rate(path, config.function), "best_rates": bounds}


def _around(config: OptimizeConfig) -> str:
    """The schedule, decay, clipping and noise of the config; empty without any."""
    usual, regime = Regime(), config.regime
    changed = [f.name for f in fields(regime) if getattr(regime, f.name) != getattr(usual, f.name)]
    form = ["weight_decay_form"] if "weight_decay" in changed else []
    names = dict.fromkeys(changed + form)
    return "   ".join(f"{name} {setting(getattr(regime, name))}" for name in names)


def _where(config: OptimizeConfig) -> str:
    function: Any = config.function
    start = config.start or function.start
    named = [f.name for f in fields(function) if f.name not in ("formula", "dimension")]
    own = "".join(f"   {name} {setting(getattr(function, name))}" for name in named)
    return f"{function.name}   f(w) = {function.formula}{own}   start {_point(start)}"


def _point(point: Sequence[float]) -> str:
    shown = [f"{value:g}" for value in point[:4]] + ["..."] * (len(point) > 4)
    return f"({', '.join(shown)})"


def _one(result: Paths) -> None:
    config, path, rule = result.config, result.paths[0], result.config.algo[0]
    terminal.say(f"{rule.name} on {_where(config)}", style="bold")
    terminal.say(settings(rule))
    terminal.say(rule.formula)
    for line in (_around(config), result.tuned):
        if line:
            terminal.say(line)
    terminal.say()
    terminal.show(_table(path))
    terminal.say()
    terminal.say(verdict(config, path), style=_STYLES[path.status])
    if sentence := theory(config, rule, path):
        terminal.say(sentence)
    _warn_of_chaos(result)


def _warn_of_chaos(result: Paths) -> None:
    pairs = zip(result.config.labels, result.chaotic, strict=True)
    names = ", ".join(f"{label} from epoch {epoch}" for label, epoch in pairs if epoch is not None)
    if names:
        terminal.say(
            f"chaotic: {names}: rounding decides the path; its digits are float64 arithmetic in this order"
        )


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
    return terminal.grid(["epoch", *names, "f(w)", "|grad|"], rows, left=())


def _number(value: float) -> str:
    """Six decimals for a number between 1e-3 and 1e7, else the exponent form."""
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
        before = float(path.values[-2]) if len(path.values) > 1 else inf
        course = "falling" if end < before else "constant" if end == before else "rising"
        return f"still moving: {at} and {course}{away}"
    if path.diverged_at is not None:
        return f"diverged: not finite after step {path.diverged_at}; last finite {at}; try a smaller lr"
    return f"diverged: f rose from {start:.3g} to {end:.3g} in {len(path.values) - 1} steps; try a smaller lr"


def theory(config: OptimizeConfig, rule: Any, path: Trajectory) -> str | None:
    """One line: the prediction for a rule on a quadratic beside the measured rate; None on other functions."""
    bounds = best_rates(config.function) if config.regime == Regime() else None
    if bounds is None:
        return None
    rate = measured_rate(path, config.function)
    measured = f" (measured x{rate:.4g})" if rate is not None else ""
    prediction = predict(rule, config.function, config.start)
    if prediction is None:
        own = f"; measured x{rate:.4g} per step" if rate is not None else ""
        return f"theory: no formula for {rule.name}{own}; {_best_possible(bounds)}"
    if not prediction.stable and not prediction.unstable_share:
        return (
            f"theory: unstable above lr {prediction.largest_lr:.4g}, but this start has no part in the unstable "
            f"direction{measured}"
        )
    best = ", ".join(f"{key} {value:.4g}" for key, value in prediction.best.items())
    advice = f"; best: {best} with x{prediction.best_rate:.4g}" if best else ""
    stable = "stable up to" if prediction.stable else "unstable, stable below"
    return (
        f"theory: {stable} lr {prediction.largest_lr:.4g}; distance x{prediction.rate:.4g} per step in the long run"
        f"{measured}{_defect(prediction, path)}{advice}"
    )


def _defect(prediction: Any, path: Trajectory) -> str:
    """Why the measured rate is slower where both eigenvalues coincide, within what so many steps can tell."""
    double = prediction.stable and prediction.eigenvalue_gap * len(path.points) < 1
    return "; slower than that at first, as k*rate^k: the two eigenvalues coincide" if double else ""


def _best_possible(bounds: dict[str, float]) -> str:
    return f"best possible per step: gradient descent x{bounds['sgd']:.4g}, momentum x{bounds['momentum']:.4g}"


def _rates(config: OptimizeConfig, ranked: Sequence[tuple[str, Any, Trajectory]]) -> None:
    """The rates of several rules on a quadratic as a table; nothing on other functions."""
    bounds = best_rates(config.function) if config.regime == Regime() else None
    if bounds is None:
        return
    rows, notes = [], []
    for label, rule, path in ranked:
        rate, prediction = measured_rate(path, config.function), predict(rule, config.function, config.start)
        measured = f"x{rate:.4g}" if rate is not None else "-"
        if prediction is None:
            rows.append([label, "-", measured, "-", "-"])
            continue
        best = ", ".join(f"{key} {value:.4g}" for key, value in prediction.best.items())
        best = f"{best} with x{prediction.best_rate:.4g}" if best else "-"
        rows.append([label, f"x{prediction.rate:.4g}", measured, f"lr {prediction.largest_lr:.4g}", best])
        if not prediction.stable and not prediction.unstable_share:
            notes.append(f"{label}: unstable, but this start has no part in the unstable direction")
        elif defect := _defect(prediction, path):
            notes.append(f"{label}{defect.replace(';', ':', 1)}")
    terminal.show(
        terminal.grid(["rate per step", "theory", "measured", "stable up to", "best"], rows, left=(0, 4))
    )
    for line in (*notes, _best_possible(bounds)):
        terminal.say(line)
    terminal.say()


def origin(rule: Any) -> str:
    """Whose settings a rule has: the exercise's (its preset), the default ones, or others."""
    usual = [f.default for f in fields(rule)]
    if [getattr(rule, f.name) for f in fields(rule)] == usual:
        return "default"
    if isinstance(rule, OwnRule):
        return "set here"
    (preset,) = load(OptimizeConfig, None, [Override("algo", "algo", rule.name)]).algo
    return "the exercise's" if rule == preset else "set here"


def _origins(result: Paths, ranked: Sequence[tuple[str, Any, Trajectory]]) -> list[str]:
    """Where the settings come from, per rule; a line where they are not of one origin."""
    if result.tuned:
        return ["tuned"] * len(ranked)
    return [origin(rule) for _, rule, _ in ranked]


_STYLES = {Status.CONVERGED: "green", Status.MOVING: "yellow", Status.DIVERGED: "red"}


def _several(result: Paths) -> str:
    """The comparison; returns the name of the best rule."""
    config, paths = result.config, result.paths
    terminal.say(f"{len(paths)} algorithms on {_where(config)}   {config.epochs} epochs", style="bold")
    for line in (_around(config), result.tuned):
        if line:
            terminal.say(line)
    terminal.say()
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
    terminal.show(terminal.grid(headings, rows, left=(0, len(headings) - 1)))
    terminal.say()
    origins = _origins(result, ranked)
    rows = [[label, settings(rule), whose] for (label, rule, _), whose in zip(ranked, origins, strict=True)]
    terminal.show(terminal.grid(["", "", ""], rows, left=(0, 1, 2), show_header=False))
    if "default" in origins and len(set(origins)) > 1:
        terminal.say("default settings are made for networks: tune all rules alike with --tune 50")
    terminal.say()
    _rates(config, ranked)
    _warn_of_chaos(result)
    return str(ranked[0][1].name)
