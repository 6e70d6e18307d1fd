"""Trajectories of optimizers on a test function as an answer: the steps, how each ended, and what theory says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from math import inf, isclose
from typing import TYPE_CHECKING, Any, NamedTuple

from optilab.answer.answer import FILMS, Answer
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.tree import Override
from optilab.errors import ExitCode
from optilab.numbers import column, point
from optilab.optimize import Status
from optilab.optimize.formula import spelled_coordinates
from optilab.optimize.rule import FormulaRule, Rule
from optilab.optimize.user_rule import UserRule
from optilab.show import terminal
from optilab.show.blocks import Block, Details, Hint, Sentence, Verbatim
from optilab.show.chart import Chart
from optilab.show.table import Column, Table, grid
from optilab.study.paths import rows
from optilab.words import main_settings_text, plural, setting, settings_text

if TYPE_CHECKING:
    from optilab.config.optimize import OptimizeConfig
    from optilab.judge.claims import ClaimResult
    from optilab.optimize import Trajectory
    from optilab.optimize.theory import Motion

MAX_TILT = 1e-6
"""A direction is a coordinate if the rest of it is at most about the root of this."""
SCREEN, DETAILED = (8, 5), (100, 100)
"""First and last rows shown of a path that is longer than both."""
STYLES = {Status.CONVERGED: "green", Status.MOVING: "yellow", Status.DIVERGED: "red"}


class RulePath(NamedTuple):
    """A rule of the config, with its label and its path."""

    label: str
    rule: Rule
    path: "Trajectory"


@dataclass(frozen=True, repr=False)
class LabPaths(Answer):
    """The path of each rule, by its label, the run that keeps them, and what is claimed of them."""

    ENDINGS = (*Answer.ENDINGS, *FILMS)
    config: "OptimizeConfig"
    paths: "Mapping[str, Trajectory]"
    note: str = ""
    """A sentence on how the rules were tuned, if they were."""
    run: str | None = None
    judged: "Sequence[ClaimResult]" = ()
    picture: bool | None = None
    """True if the terminal shows a plot; None: if there is room."""
    fail_on_divergence: bool = False
    formulas: Mapping[str, str] = field(default_factory=dict)
    """The formulas of rules whose code is not executed, by their labels."""

    @property
    def function(self) -> Any:
        return self.config.function

    @cached_property
    def rule_paths(self) -> list[RulePath]:
        """The rules in the order of the config."""
        return [*map(RulePath, self.config.labels, self.config.algo, self.paths.values())]

    @cached_property
    def _ranked(self) -> list[RulePath]:
        """The rules, the best first."""
        order = list(Status)
        return sorted(
            self.rule_paths, key=lambda each: (order.index(each.path.status), float(each.path.values[-1]))
        )

    @property
    def headline(self) -> str:
        return f"{', '.join(self.paths)} on {self.function.name}, {plural(self.config.epochs, 'epoch')}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per rule and epoch: algo, epoch, w1 to wd, f, gradient_norm."""
        return list(rows(self.paths))

    @property
    def verdicts(self) -> dict[str, str]:
        """The status of each path: converged, moving or diverged."""
        return {label: path.status.value for label, path in self.paths.items()}

    @property
    def sentences(self) -> dict[str, str]:
        """A sentence for each path: how it ended, its last point, and the distance to the minimum."""
        return {label: ending(self.config, path) for label, path in self.paths.items()}

    def chart(self) -> Chart:
        """The paths on the contours of the function, as `optimize --out` draws them."""
        return self._chart(self.note)

    def film(self) -> Chart:
        """The chart, if the function has a plane, on which the lines of a film grow."""
        from optilab.answer.charts.paths import require_plane

        require_plane(self.function)
        return self.chart()

    def _chart(self, note: str = "") -> Chart:
        from optilab.answer.charts.paths import paths_chart  # slow to import

        return paths_chart(self.function, dict(zip(self.config.legend, self.paths.values(), strict=True)), note)

    def table(self) -> Table:
        """The end of each path, and its status: the best first."""
        config = self.config
        names = [f"w{i + 1}" for i in range(min(len(self._ranked[0].path.points[-1]), 4))]
        headings = ["algo", *names, "f(w)", "distance", f"|grad|<{config.tolerance:g}", "status"]
        columns = [Column(name, name, left=name in ("algo", "status")) for name in headings]
        ends = [dict(zip(headings, _end(config, label, path), strict=True)) for label, _, path in self._ranked]
        return Table(columns, ends, [self.note] if self.note else [])

    @property
    def code(self) -> ExitCode:
        diverged = Status.DIVERGED in self.verdicts.values()
        return ExitCode.DIVERGED if self.fail_on_divergence and diverged else ExitCode.OK

    @cached_property
    def chaotic(self) -> dict[str, int | None]:
        """Per path the first epoch from which rounding decides it, or None, also where the code is not executed."""
        from optilab.optimize.path import chaotic_from

        return {
            label: None
            if getattr(rule, "recorded", False)
            else chaotic_from(rule, self.function, path, self.config.regime)
            for label, rule, path in self.rule_paths
        }

    def document(self) -> dict[str, Any]:
        config = self.config
        results = [
            {
                "algo": values.pop("name"),
                **{key: values.pop(key) for key in ("label",) if key in values},
                "params": values,
                "function": self.function.name,
                "epochs": config.epochs,
                "points": path.points.tolist(),
                "values": path.values.tolist(),
                "status": path.status.value,
                "diverged_at": path.diverged_at,
                "chaotic_from": self.chaotic[label],
                "theory": _theory_facts(config, rule, path),
            }
            for values, (label, rule, path) in zip(dump(config)["algo"], self.rule_paths, strict=True)
        ]
        return {"run": self.run, "results": results}

    def short(self) -> list[str]:
        if self.code:
            diverged = [label for label, status in self.verdicts.items() if status == Status.DIVERGED]
            terminal.note(f"diverged: {', '.join(diverged)}")
        return [Verbatim(self.run)] if self.run else []

    def painted(self) -> list[Block]:
        """The trajectories and losses come before their numbers."""
        heading, *numbers = (block for block in self.blocks() if not isinstance(block, Chart))
        return [heading, self.chart(), *numbers]

    def blocks(self) -> Iterator[Block]:
        """One path in full, or a line for each of several, then the picture and the run."""
        yield from self._single() if len(self.paths) == 1 else self._several()
        shown = terminal.is_wide() if self.picture is None else self.picture
        if shown:
            yield from ("", self._chart(), "")
        elif self.picture is None and terminal.out.is_terminal:
            yield Hint("contour and curves: --picture")
        if self.run:
            yield self.run

    def _conditions(self) -> Iterator[str]:
        """The schedule, decay, clipping and noise of the config, how rules were tuned, and an empty line."""
        regime = self.config.regime
        form = ["weight_decay_form"] if "weight_decay" in regime.changed else []
        names = dict.fromkeys(regime.changed + form)
        conditions = "   ".join(f"{name} {setting(getattr(regime, name))}" for name in names)
        yield from filter(None, (conditions, self.note))
        yield ""

    def _chaos(self) -> Iterator[str]:
        epochs = {label: epoch for label, epoch in self.chaotic.items() if epoch is not None}
        if names := ", ".join(f"{label} from epoch {epoch}" for label, epoch in epochs.items()):
            yield f"chaotic: {names}: rounding decides the path; its digits are float64 arithmetic in this order"

    def _rises(self) -> Iterator[str]:
        """Why f rises again at the end of a path of an adaptive rule such as RMSProp."""
        from optilab.optimize.path import late_rise

        for label, rule, path in self.rule_paths:
            if rise := None if self.config.regime.changed else late_rise(rule, path, self.function):
                rate = f"lr/sqrt({rise.memory}) along w{rise.coordinate + 1}"
                yield (
                    f"{label}: f rises again from epoch {rise.epoch}: {rise.memory} has forgotten the earlier "
                    f"gradients, so {rate} has grown from {rise.smallest:.3g} to {rise.rate:.3g}, and steps overshoot "
                    "farther"
                )

    def _single(self) -> Iterator[Block]:
        ((label, rule, path),), config = self.rule_paths, self.config
        yield Sentence(f"{rule.name} on {_where(config)}", "bold")
        yield main_settings_text(rule)
        yield from self._conditions()
        yield _steps(path, *SCREEN)
        yield ""
        yield Sentence(ending(config, path), STYLES[path.status])
        known, sentence = _theory(config, rule, path), theory(config, rule, path)
        measured = [sentence] if known and not known.prediction and sentence else []
        if sentence and not measured:
            yield sentence
        yield from self._rises()
        yield from self._chaos()
        # The formula of a FormulaRule is its name.
        formulas = [] if isinstance(rule, FormulaRule) else [self.formulas.get(label, rule.formula)]
        yield Details(
            "Details", [settings_text(rule), *formulas, *measured, "", _steps(path, *DETAILED)], folded=True
        )

    def _several(self) -> Iterator[Block]:
        config, ranked = self.config, self._ranked
        yield Sentence(
            f"{len(self.paths)} optimizers on {_where(config)}   {plural(config.epochs, 'epoch')}", "bold"
        )
        yield from self._conditions()
        yield self.table()
        yield ""
        origins = {label: "tuned" if self.note else origin(rule) for label, rule, _ in ranked}
        same_origin = len(set(origins.values())) == 1
        rows = [
            [label, main_settings_text(rule), "" if same_origin else origins[label]] for label, rule, _ in ranked
        ]
        yield grid(["", "", ""], rows, left=(0, 1, 2), header=False)
        library_origins = {origins[label] for label, rule, _ in ranked if not isinstance(rule, UserRule)}
        if "default" in library_origins and len(set(origins.values())) > 1:
            yield "default settings are made for networks; the option tune tries random ones of each optimizer"
        yield from self._rises()
        yield from self._chaos()
        every_setting = [[label, settings_text(rule), origins[label]] for label, rule, _ in ranked]
        bounds = (
            [_best_possible(known.bounds)] if (known := _theory(config, ranked[0].rule, ranked[0].path)) else []
        )
        yield Details(
            "Details", [grid(["", "", ""], every_setting, left=(0, 1, 2), header=False), *bounds], folded=True
        )


def _where(config: "OptimizeConfig") -> str:
    function: Any = config.function
    named = [f.name for f in fields(function) if f.name not in ("formula", "dimension")]
    parameters = "".join(f"   {name} {setting(getattr(function, name))}" for name in named)
    start = point(config.start or function.start, most=4)
    typed = spelled_coordinates(function.formula) if function.name == "expression" else ""
    return f"{function.name}   f(w) = {function.formula}{f', where {typed}' * bool(typed)}{parameters}   start {start}"


def _steps(path: "Trajectory", head: int, tail: int) -> Table:
    """Every point of a path, or its first and last ones, and those where f or a coordinate is lowest or highest."""
    import numpy as np

    dimension, last = min(path.points.shape[-1], 4), len(path.values)
    epochs = list(range(last))
    if last > head + tail + 1:
        numbers = np.nan_to_num(np.column_stack([path.values, path.points[:, :dimension]]))
        extreme = [*numbers.argmin(axis=0).tolist(), *numbers.argmax(axis=0).tolist()]
        epochs = sorted({*epochs[:head], *extreme, *epochs[-tail:]})
    rows = []
    for before, epoch in zip([-1, *epochs], epochs, strict=False):
        if epoch > before + 1:
            rows.append(["..."] * (dimension + 3))
        place = (*path.points[epoch][:dimension], path.values[epoch])
        rows.append([str(epoch), *map(column, place), f"{path.gradient_norms[epoch]:.5g}"])
    names = [f"w{i + 1}" for i in range(dimension)]
    return grid(["epoch", *names, "f(w)", "|grad|"], rows, left=())


def _end(config: "OptimizeConfig", label: str, path: "Trajectory") -> list[str]:
    """A row of the comparison."""
    from optilab.optimize.path import status_note

    nearest = path.distance(config.function.minima)
    first = path.first_below(config.tolerance)
    return [
        label,
        *(f"{value:.3g}" for value in path.points[-1][:4]),
        f"{path.values[-1]:.3g}",
        f"{nearest[0]:.3g}" if nearest else "-",
        "-" if first is None else str(first),
        ", ".join(filter(None, (path.status.value, status_note(path, config.function, config.tolerance)))),
    ]


def ending(config: "OptimizeConfig", path: "Trajectory") -> str:
    """One line on how the path ended: where, how far from the minimum, and what to do."""
    import numpy as np

    from optilab.optimize.path import status_note

    end, start = float(path.values[-1]), float(path.values[0])
    at = f"f = {end:.3g} at {point(path.points[-1], most=4)}"
    nearest = path.distance(config.function.minima)
    away = f"; {nearest[0]:.3g} from the minimum {point(nearest[1], most=4)}" if nearest else ""
    but = f", {left_out}" if (left_out := status_note(path, config.function, config.tolerance)) else ""
    if path.status is Status.CONVERGED:
        first = path.first_below(config.tolerance)
        return f"converged{but}: {at}{away}; |grad| below {config.tolerance:g} from epoch {first}"
    if path.status is Status.MOVING and len(path.points) > 2 and np.ptp(path.points[-3:], axis=0).max() == 0:
        steps = f"its steps are 0, although |grad| is {path.gradient_norms[-1]:.3g}"
        newton = any(rule.original.name == "newton" for rule in config.algo)
        why = "; newton has no step where the Hessian is 0: try damped-newton" if newton else ""
        return f"stands still{but}: {at}; {steps}{why}{away}"
    if path.status is Status.MOVING:
        before = float(path.values[-2]) if len(path.values) > 1 else inf
        course = "falling" if end < before else "constant" if end == before else "rising"
        return f"still moving{but}: {at} and {course}{away}"
    if path.diverged_at is not None:
        return f"diverged: not finite after step {path.diverged_at}; last finite {at}; try a smaller lr"
    return f"diverged: f rose from {start:.3g} to {end:.3g} in {plural(len(path.values) - 1, 'step')}; try a smaller lr"


def origin(rule: Any) -> str:
    """The origin of a rule's settings: the exercise (its preset), the defaults, or others."""
    from optilab.config.optimize import OptimizeConfig

    defaults = [f.default for f in fields(rule)]
    if [getattr(rule, f.name) for f in fields(rule)] == defaults:
        return "default"
    if isinstance(rule, UserRule | FormulaRule):
        return "set here"
    (preset,) = load(OptimizeConfig, None, [Override("algo", "algo", rule.typed)]).algo
    return "preset: exercise" if rule == preset else "set here"


# --- theory of quadratic functions --------------------------------------------------------------------------


class Theory(NamedTuple):
    """The best possible rates on a quadratic, the measured rate of a path, and what theory predicts of its rule."""

    bounds: Mapping[str, float]
    rate: float | None
    prediction: Any

    @property
    def measured(self) -> str:
        return "" if self.rate is None else f"x{self.rate:.4g}"


def _theory(config: "OptimizeConfig", rule: Any, path: "Trajectory") -> Theory | None:
    """None unless the function is quadratic and the rule runs without schedule, decay, clipping and noise."""
    from optilab.optimize.path import measured_rate
    from optilab.optimize.theory import best_rates, predict

    bounds = None if config.regime.changed else best_rates(config.function)
    if bounds is None:
        return None
    return Theory(bounds, measured_rate(path, config.function), predict(rule, config.function, config.start))


def _theory_facts(config: "OptimizeConfig", rule: Any, path: "Trajectory") -> dict[str, Any] | None:
    known = _theory(config, rule, path)
    if known is None:
        return None
    predicted = asdict(known.prediction) if known.prediction else {}
    return {**predicted, "measured_rate": known.rate, "best_rates": known.bounds}


def theory(config: "OptimizeConfig", rule: Any, path: "Trajectory") -> str | None:
    """One line: the prediction for a rule on a quadratic next to the measured rate; None on other functions."""
    known = _theory(config, rule, path)
    if known is None:
        return None
    prediction, measured = known.prediction, f" (measured {known.measured})" * bool(known.measured)
    if prediction is None:
        rate = f"; measured {known.measured} per step" * bool(known.measured)
        return f"theory: no formula for the rate of {rule.name}{rate}; {_best_possible(known.bounds)}"
    if not prediction.stable and not prediction.unstable_fraction:
        return (
            f"theory: unstable above lr {prediction.largest_lr:.4g}, but this start has no component along the "
            f"unstable direction{measured}"
        )
    best = ", ".join(f"{key} {value:.4g}" for key, value in prediction.best.items())
    if best:
        steps = plural(config.epochs, "step")
        best = f"; best in the long run: {best} with x{prediction.best_rate:.4g}"
        best += f", though another setting may be lower after {steps}"
    factors = ""
    if prediction.factors:
        flattest, steepest = (f"{factor:.4g}" for factor in prediction.factors)
        factors = f"; 1 - lr*curvature is {flattest} along the flattest direction, {steepest} along the steepest"
    # within what the steps of the path can tell
    is_double = prediction.stable and prediction.eigenvalue_gap * len(path.points) < 1
    slower = "; slower than that at first, as k*rate^k: the two eigenvalues coincide" if is_double else ""
    stable = "stable up to" if prediction.stable else "unstable, stable below"
    if isclose(rule.lr, prediction.largest_lr, rel_tol=1e-9):
        stable = "at the limit, where one direction neither shrinks nor grows: stable below"
    return (
        f"theory: {stable} lr {prediction.largest_lr:.4g}; distance x{prediction.rate:.4g} per step in the long run"
        f"{measured}{factors}{slower}{best}"
    )


def motion_sentences(motions: "Sequence[Motion]") -> Iterator[str]:
    """For the flattest and the steepest direction of a quadratic, whether a rule overshoots there, and why."""
    for motion, name in zip((*motions[:1], *motions[1:][-1:]), ("flattest", "steepest"), strict=False):
        axis = abs(motion.direction)
        where = f"w{axis.argmax() + 1}" if axis.max() > 1 - MAX_TILT else f"the {name} direction"
        size, is_real = abs(motion.factor), motion.factor.imag == 0
        factor = f"{motion.factor.real:.4g}" if is_real else f"{size:.4g}, the modulus of a complex pair"
        if motion.period == inf:
            overshoot = "no overshoot" if size <= 1 else "it grows"
        else:
            why = (
                "a step is longer than the way to the minimum"
                if is_real
                else "its velocity still points ahead at the minimum"
            )
            oscillation = f"{why}, so it overshoots and oscillates every {motion.period:.3g} steps"
            overshoot = oscillation if size <= 1 else f"{oscillation}, and grows"
        direction = f"along {where} (curvature {motion.curvature:.4g})"
        yield f"{direction} a step multiplies the distance by {factor}: {overshoot}"


def _best_possible(bounds: Mapping[str, float]) -> str:
    descent, momentum = bounds["sgd"], bounds["momentum"]
    return f"best possible per step: x{descent:.4g} with gradient descent, x{momentum:.4g} with momentum"
