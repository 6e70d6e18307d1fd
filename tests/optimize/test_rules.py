"""The step API of every rule: its formula is what runs, on batches, on tensors, and with arrays of settings."""

from dataclasses import fields, is_dataclass, replace
from itertools import islice, product
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, SCHEDULES, Regime, descend
from optilab.optimize.path import worked_steps


def forms(kind: Any) -> list[Any]:
    """The rule in every combination of its texts and switches."""
    hints = get_type_hints(kind)
    choices = {
        f.name: get_args(hints[f.name]) if get_origin(hints[f.name]) is Literal else (False, True)
        for f in fields(kind)
        if get_origin(hints[f.name]) is Literal or hints[f.name] is bool
    }
    return [kind(**dict(zip(choices, values, strict=True))) for values in product(*choices.values())]


CHOSEN_RULES = [
    *(rule for kind in RULES.values() if kind.weights != "matrices" for rule in forms(kind)),
    RULES["rmsprop"](momentum=0.5, centered=True),
    RULES["lookahead"](base=RULES["adamw"](lr=0.1, weight_decay=0.1), sync_period=2),
]
GRADIENT_ONLY = [rule for rule in CHOSEN_RULES if not rule.needs]
LINE_SEARCH = {"l-bfgs", "conjugate-gradient"}


def run(rule: Any, function: Any, x: Any, steps: int = 12) -> Any:
    """Points (steps + 1, ...) by the step API alone."""
    state, points = rule.init(x), [x]
    for _ in range(steps):
        step, state = rule.update(function.gradient(points[-1]), state)
        points.append(points[-1] + step)
    return np.stack(points)


@pytest.mark.parametrize("rule", CHOSEN_RULES, ids=str)
@pytest.mark.parametrize("name", ["ravine", "himmelblau"])
def test_the_printed_formula_is_the_rule_that_runs(rule, name):
    tamed = replace(rule, lr=min(rule.lr, 0.01)) if hasattr(rule, "lr") else rule
    calculation = next(islice(worked_steps(tamed, OBJECTIVES[name]()), 24, None))
    assert calculation.difference < 1e-11
    assert bool(calculation.lines) == (rule.name not in LINE_SEARCH)
    if calculation.lines:
        assert_allclose(calculation.lines[-1].value, calculation.result, rtol=1e-10)


@pytest.mark.parametrize("rule", GRADIENT_ONLY, ids=str)
def test_a_batch_of_starts_is_its_single_starts(rule):
    function = OBJECTIVES["ravine"]()
    starts = np.random.default_rng(0).uniform(-3, 3, (2, 3, 2))
    together = run(rule, function, starts)
    assert together.shape == (13, 2, 3, 2)
    assert_allclose(together[:, 1, 2], run(rule, function, starts[1, 2]), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("rule", GRADIENT_ONLY, ids=str)
def test_a_hyper_parameter_may_be_an_array(rule):
    function, x = OBJECTIVES["ravine"](), np.array([-5.0, -2.0])
    for f in fields(rule):
        value = getattr(rule, f.name)
        if not isinstance(value, float) or f.name in ("step_min", "step_max"):
            continue
        values = [0.5 * value, 0.9 * value, 0.99 * value]
        many = run(replace(rule, **{f.name: np.array(values)[:, None]}), function, np.tile(x, (3, 1)))
        for i, one in enumerate(values):
            assert_allclose(many[:, i], run(replace(rule, **{f.name: one}), function, x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rule", GRADIENT_ONLY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_same_lines_run_on_tensors(rule, dtype):
    function = OBJECTIVES["ravine"]()
    x = torch.tensor([-5.0, -2.0], dtype=dtype)
    state, expected = rule.init(torch.nn.Parameter(x)), run(rule, function, np.array([-5.0, -2.0]))
    # Single precision is compared while its rounding has not been multiplied yet.
    for point in expected[1:] if dtype == torch.float64 else expected[1:3]:
        gradient = torch.stack([0.2 * x[0], 4 * x[1]])
        with torch.no_grad():
            step, state = rule.update(gradient, state)
        assert step.dtype == dtype
        x = x + step
        assert_allclose(x.numpy(), point, rtol=0, atol=5e-12 if dtype == torch.float64 else 1e-5)
    for value in state._asdict().values():  # what a checkpoint may hold
        assert isinstance(value, torch.Tensor | int | float | tuple)


@pytest.mark.parametrize("rule", GRADIENT_ONLY, ids=str)
def test_a_single_number_is_a_vector_of_one(rule):
    bowl = SimpleNamespace(gradient=lambda x: 4 * x)
    expected = run(rule, bowl, np.array([2.0]))[:, 0]
    for number in (2.0, np.float64(2.0), np.array(2.0)):
        points = run(rule, bowl, number)
        assert points.shape == (13,)
        assert_allclose(points, expected, rtol=1e-14)


def test_polyak_takes_a_single_number():
    step, _ = RULES["polyak"]().update(4.0, RULES["polyak"]().init(2.0), value=4.0)
    assert step == -1.0


@pytest.mark.parametrize("rule", GRADIENT_ONLY, ids=str)
@pytest.mark.parametrize("shape", [(2,), (3, 4)], ids=str)
def test_single_precision_stays_single_precision(rule, shape):
    x = np.linspace(0.5, 2, np.prod(shape), dtype=np.float32).reshape(shape)
    points = run(rule, SimpleNamespace(gradient=lambda x: 4 * x), x)
    assert points.dtype == np.float32
    assert points.shape == (13, *shape)
    assert np.isfinite(points).all()


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match="an array of NumPy or torch is needed, not a list"):
        RULES["adam"]().init([1.0, 2.0])


@pytest.mark.parametrize("rule", CHOSEN_RULES, ids=str)
def test_rules_are_values(rule):
    assert is_dataclass(rule)
    assert rule == replace(rule)
    assert RULES[rule.name] is type(rule)
    with pytest.raises(AttributeError):
        rule.name = "other"


@pytest.mark.parametrize("name", sorted({rule.name for rule in CHOSEN_RULES} - {"lookahead"}))
def test_every_rule_goes_down_a_bowl(name):
    kind = RULES[name]
    rule = kind(lr=0.02) if any(f.name == "lr" for f in fields(kind)) else kind()
    path = descend(rule, OBJECTIVES["booth"](), (2.0, 2.5), steps=200)
    assert path.values[-1] < 0.95 * path.values[0]


def test_barzilai_borwein_is_the_secant_method_on_a_line():
    rule, slope = RULES["barzilai-borwein"](lr=0.1), lambda x: 4 * x**3 + 2 * x - 3
    x, state, secant = np.array([1.5]), RULES["barzilai-borwein"](lr=0.1).init(np.array([1.5])), [1.5]
    for i in range(6):
        step, state = rule.update(slope(x), state)
        x = x + step
        a, b = (secant[-2], secant[-1]) if i else (0.0, 0.0)
        secant.append(b - slope(b) * (b - a) / (slope(b) - slope(a)) if i else 1.5 - 0.1 * slope(1.5))
        assert_allclose(x, secant[-1], rtol=1e-9)


def test_newton_ends_a_quadratic_in_one_step_and_polyak_knows_the_distance():
    bowl = OBJECTIVES["quadratic"](condition=1000.0)
    assert_allclose(descend(RULES["newton"](), bowl, steps=1).points[-1], [0, 0], atol=1e-12)
    sphere = descend(RULES["polyak"](), OBJECTIVES["sphere"](), steps=1)
    assert_allclose(sphere.points[-1], sphere.points[0] / 2)


def test_damped_newton_leaves_a_saddle_that_newton_goes_to():
    saddle = OBJECTIVES["saddle"]()
    assert_allclose(descend(RULES["newton"](), saddle, steps=1).points[-1], [0, 0], atol=1e-12)
    assert descend(RULES["damped-newton"](), saddle, steps=9).values[-1] < -0.1


def test_schedule_free_keeps_the_plain_average_of_its_fast_points():
    rule, function, x = RULES["schedule-free-sgd"](lr=0.1), OBJECTIVES["ravine"](), np.array([-5.0, -2.0])
    state, fast = rule.init(x), []
    for _ in range(20):
        step, state = rule.update(function.gradient(x), state)
        x = x + step
        fast.append(state.fast)
    assert_allclose(rule.averaged(state), np.mean(fast, axis=0), rtol=1e-12)


def test_ftrl_holds_a_weight_at_exactly_zero_until_its_gradients_add_up_to_l1():
    rule, x = RULES["ftrl"](lr=0.1, l1=2.5), np.array([0.0, 0.0])
    state, points = rule.init(x), []
    for t in range(6):
        step, state = rule.update(np.array([1.0, (-1.0) ** t]), state)
        x = x + step
        points.append(x)
    assert [point[0] < 0 for point in points] == [False, False, True, True, True, True]
    assert all(point[1] == 0 for point in points)
    assert points[1][0] == 0


class TestRegime:
    def test_nothing_changes_by_default(self):
        plain = descend(RULES["adam"](lr=0.1), OBJECTIVES["ravine"](), steps=20)
        same = descend(RULES["adam"](lr=0.1), OBJECTIVES["ravine"](), steps=20, regime=Regime(seed=5))
        assert plain.points.tobytes() == same.points.tobytes()

    @pytest.mark.parametrize("decay", [0.0, 0.1])
    @pytest.mark.parametrize(
        ("name", "optimizer", "options"),
        [
            ("sgd", "SGD", {}),
            ("momentum", "SGD", {"momentum": 0.9}),
            ("adam", "Adam", {}),
            ("radam", "RAdam", {}),
            ("adagrad", "Adagrad", {}),
        ],
    )
    def test_coupled_decay_clipping_and_schedule_are_torchs(self, name, optimizer, options, decay):
        function, schedule = OBJECTIVES["himmelblau"](), SCHEDULES["cosine"]()
        regime = Regime(schedule=schedule, weight_decay=decay, clip_norm=5.0, clip_value=4.0)
        path = descend(RULES[name](lr=0.01), function, steps=60, regime=regime)
        w = torch.tensor(function.start, dtype=torch.float64, requires_grad=True)
        theirs = getattr(torch.optim, optimizer)([w], lr=0.01, weight_decay=decay, **options)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 60)
        for point in path.points[1:]:
            w.grad = torch.from_numpy(function.gradient(w.detach().numpy()))
            torch.nn.utils.clip_grad_value_(w, 4.0)
            torch.nn.utils.clip_grad_norm_(w, 5.0)
            theirs.step()
            scheduler.step()
            # clip_grad_norm_ divides by the norm + 1e-6
            assert_allclose(w.detach().numpy(), point, rtol=1e-5)

    @pytest.mark.parametrize("name", ["lion", "adan", "ademamix", "prodigy", "schedule-free-adamw", "adamw"])
    def test_decoupled_decay_is_the_rules_own_where_it_has_one(self, name):
        function, kind = OBJECTIVES["booth"](), RULES[name]
        around = descend(kind(lr=0.01), function, regime=Regime(weight_decay=0.2, weight_decay_form="decoupled"))
        assert_allclose(around.points, descend(kind(lr=0.01, weight_decay=0.2), function).points)

    def test_decoupled_decay_around_adam_is_adamw(self):
        function = OBJECTIVES["booth"]()
        around = descend(RULES["adam"](), function, regime=Regime(weight_decay=0.2, weight_decay_form="decoupled"))
        adamw = descend(RULES["adamw"](weight_decay=0.2), function)
        assert_allclose(around.points, adamw.points, rtol=1e-14)

    def test_coupled_decay_reaches_the_hessian(self):
        end = descend(RULES["newton"](), OBJECTIVES["booth"](), steps=1, regime=Regime(weight_decay=3.0)).points[
            -1
        ]
        assert_allclose(OBJECTIVES["booth"]().gradient(end) + 3.0 * end, [0, 0], atol=1e-9)

    def test_noise_is_seeded_and_common_to_all_rules(self):
        def ends(name, seed):
            regime = Regime(noise=0.5, seed=seed)
            return descend(RULES[name](lr=0.1), OBJECTIVES["sphere"](), steps=5, regime=regime).points

        assert ends("sgd", 1).tobytes() == ends("sgd", 1).tobytes() != ends("sgd", 2).tobytes()
        clean = descend(RULES["sgd"](lr=0.1), OBJECTIVES["sphere"](), steps=1).points[1]
        draws = np.random.default_rng(1).standard_normal(2)
        assert_allclose(clean - ends("sgd", 1)[1], 0.1 * 0.5 * draws, rtol=1e-9)

    @pytest.mark.parametrize(
        ("name", "regime"),
        [
            ("l-bfgs", Regime(clip_norm=1.0)),
            ("l-bfgs", Regime(schedule=SCHEDULES["cosine"]())),
            ("conjugate-gradient", Regime(noise=1.0)),
            ("lookahead", Regime(weight_decay=0.1, weight_decay_form="decoupled")),
            ("l-bfgs", Regime(weight_decay=0.1, weight_decay_form="decoupled")),
        ],
    )
    def test_what_cannot_be_put_around_a_rule_is_said(self, name, regime):
        with pytest.raises(UsageError, match=name):
            descend(RULES[name](), OBJECTIVES["booth"](), regime=regime)

    def test_lookahead_passes_the_schedule_on(self):
        regime = Regime(schedule=SCHEDULES["step"](every=1, gamma=0.5))
        wrapped = RULES["lookahead"](base=RULES["sgd"](lr=0.1), sync_period=100)
        path = descend(wrapped, OBJECTIVES["booth"](), steps=10, regime=regime)
        plain = descend(RULES["sgd"](lr=0.1), OBJECTIVES["booth"](), steps=10, regime=regime)
        assert_allclose(path.points, plain.points)


def test_adam_without_any_gradient_moves_by_what_is_added():
    """0/0 counts as 0, so that only the eps remains which stands outside the fraction."""
    rule = RULES["adam"](lr=0.5, eps_placement="added", eps=1e-3)
    moved, state = rule.update(np.zeros(2), rule.init(np.ones(2)))
    assert_allclose(moved, [-0.5e-3, -0.5e-3], rtol=1e-12)
    assert not np.any(state.mean_square)
