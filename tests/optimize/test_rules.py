"""Update rules: their contract, what single rules promise, and what may be put around them."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.testing import assert_allclose

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, SCHEDULES, Regime, descend
from optilab.optimize.formula import parse
from optilab.optimize.rule import formula_rule, quantities_for
from tests.kit.contracts import MatrixContract, RuleContract, StepContract, TensorContract, follow, forms

ON_VECTORS = [
    *(rule for kind in RULES.values() if kind.weights != "matrices" for rule in forms(kind)),
    RULES["rmsprop"](momentum=0.5, centered=True),
    RULES["lookahead"](base=RULES["adamw"](lr=0.1, weight_decay=0.1), sync_period=2),
]
STEPPING = [rule for rule in ON_VECTORS if "function" not in rule.needs]


@pytest.mark.parametrize("rule", ON_VECTORS, ids=str)
class TestRules(RuleContract):
    pass


@pytest.mark.parametrize("rule", STEPPING, ids=str)
class TestSteps(StepContract):
    pass


@pytest.mark.parametrize("rule", [rule for rule in STEPPING if "H" not in rule.needs], ids=str)
class TestTensors(TensorContract):
    pass


@pytest.mark.parametrize(
    "rule", [rule for kind in RULES.values() if kind.weights == "matrices" for rule in forms(kind)], ids=str
)
class TestMatrices(MatrixContract):
    pass


@pytest.mark.parametrize("rule", [rule for rule in STEPPING if not rule.needs], ids=str)
def test_a_number_is_a_vector_of_one(rule):
    expected = follow(rule, lambda x: 4 * x, np.array([2.0]), 12)[:, 0]
    for number in (2.0, np.float64(2.0), np.array(2.0)):
        assert_allclose(follow(rule, lambda x: 4 * x, number, 12), expected, rtol=1e-14)


def test_polyak_takes_a_single_number():
    after, _ = RULES["polyak"]().step(2.0, 4.0, 1, RULES["polyak"]().init(2.0), f=4.0)
    assert after == 1.0


def test_init_rejects_lists():
    with pytest.raises(TypeError, match="an array of NumPy or torch is needed, not a list"):
        RULES["adam"]().init([1.0, 2.0])


@pytest.mark.parametrize("name", sorted({rule.name for rule in ON_VECTORS} - {"lookahead"}))
def test_every_rule_goes_down_a_bowl(name):
    kind = RULES[name]
    rule = kind(lr=0.02) if any(f.name == "lr" for f in fields(kind)) else kind()
    path = descend(rule, OBJECTIVES["booth"](), (2.0, 2.5), steps=200)
    assert path.values[-1] < 0.95 * path.values[0]


# --- single rules ------------------------------------------------------------------------------------------


def test_barzilai_borwein_is_the_secant_method():
    def slope(x):
        return 4 * x**3 + 2 * x - 3

    points = follow(RULES["barzilai-borwein"](lr=0.1), slope, np.array([1.5]), 7)[:, 0]
    assert points[0] == pytest.approx(1.5 - 0.1 * slope(1.5))
    for before, last, now in zip([1.5, *points], points, points[1:], strict=False):
        secant = last - slope(last) * (last - before) / (slope(last) - slope(before))
        assert now == pytest.approx(secant, rel=1e-9)


def test_newton_and_polyak_on_quadratics():
    """Newton ends there in one step, and Polyak's step knows the distance."""
    bowl, saddle = OBJECTIVES["quadratic"](condition=1000.0), OBJECTIVES["saddle"]()
    for function in (bowl, saddle):
        assert_allclose(descend(RULES["newton"](), function, steps=1).points[-1], [0, 0], atol=1e-12)
    assert descend(RULES["damped-newton"](), saddle, steps=9).values[-1] < -0.1
    sphere = descend(RULES["polyak"](), OBJECTIVES["sphere"](), steps=1)
    assert_allclose(sphere.points[-1], sphere.points[0] / 2)


def test_schedule_free_averages_its_fast_points():
    rule, function, x = RULES["schedule-free-sgd"](lr=0.1), OBJECTIVES["ravine"](), np.array([-5.0, -2.0])
    state, fast = rule.init(x), []
    for t in range(1, 21):
        x, state = rule.step(x, function.gradient(x), t, state)
        fast.append(state[rule.states.index("z")])
    assert_allclose(rule.averaged(x, state), np.mean(fast, axis=0), rtol=1e-12)


def test_ftrl_holds_weights_at_zero():
    """Until their gradients add up to l1."""
    gradients = iter([np.array([1.0, (-1.0) ** t]) for t in range(6)])
    points = follow(RULES["ftrl"](lr=0.1, l1=2.5), lambda x: next(gradients), np.zeros(2), 6)
    assert [point[0] < 0 for point in points] == [False, False, True, True, True, True]
    assert (points[:, 1] == 0).all()
    assert points[1, 0] == 0


def test_adam_without_gradient_moves_by_eps():
    """0/0 counts as 0, so that only the eps remains which is added to the ratio."""
    rule = RULES["adam"](lr=0.5, eps_placement="added", eps=1e-3)
    w, state = rule.step(np.ones(2), np.zeros(2), 1, rule.init(np.ones(2)))
    assert_allclose(w, [1 - 0.5e-3, 1 - 0.5e-3], rtol=1e-12)
    assert not np.any(state[rule.states.index("S")])


# --- what is put around a rule -----------------------------------------------------------------------------


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
def test_decay_clipping_and_schedule_are_torchs(name, optimizer, options, decay):
    function = OBJECTIVES["himmelblau"]()
    regime = Regime(schedule=SCHEDULES["cosine"](), weight_decay=decay, clip_norm=5.0, clip_value=4.0)
    path = descend(RULES[name](lr=0.01), function, steps=60, regime=regime)
    w = torch.tensor(function.start, dtype=torch.float64, requires_grad=True)
    reference = getattr(torch.optim, optimizer)([w], lr=0.01, weight_decay=decay, **options)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(reference, 60)
    for point in path.points[1:]:
        w.grad = torch.from_numpy(function.gradient(w.detach().numpy()))
        torch.nn.utils.clip_grad_value_(w, 4.0)
        torch.nn.utils.clip_grad_norm_(w, 5.0)
        reference.step()
        scheduler.step()
        assert_allclose(w.detach().numpy(), point, rtol=1e-5)  # clip_grad_norm_ divides by the norm + 1e-6


@pytest.mark.parametrize("name", ["lion", "adan", "ademamix", "prodigy", "schedule-free-adamw", "adamw", "adam"])
def test_decoupled_decay_is_the_rules_own(name):
    """That of Adam is AdamW's."""
    function, kind = OBJECTIVES["booth"](), RULES["adamw" if name == "adam" else name]
    regime = Regime(weight_decay=0.2, weight_decay_form="decoupled")
    around = descend(RULES[name](lr=0.01), function, regime=regime)
    assert_allclose(around.points, descend(kind(lr=0.01, weight_decay=0.2), function).points)


def test_coupled_decay_reaches_the_hessian():
    function = OBJECTIVES["booth"]()
    end = descend(RULES["newton"](), function, steps=1, regime=Regime(weight_decay=3.0)).points[-1]
    assert_allclose(function.gradient(end) + 3.0 * end, [0, 0], atol=1e-9)


def test_noise_is_seeded_and_common_to_rules():
    def points(name, seed):
        regime = Regime(noise=0.5, seed=seed)
        return descend(RULES[name](lr=0.1), OBJECTIVES["sphere"](), steps=5, regime=regime).points

    assert points("sgd", 1).tobytes() == points("sgd", 1).tobytes() != points("sgd", 2).tobytes()
    clean = descend(RULES["sgd"](lr=0.1), OBJECTIVES["sphere"](), steps=1).points[1]
    draws = np.random.default_rng(1).standard_normal(2)
    assert_allclose(clean - points("sgd", 1)[1], 0.1 * 0.5 * draws, rtol=1e-9)
    assert_allclose(points("momentum", 1)[1], points("sgd", 1)[1], rtol=1e-14)
    plain = descend(RULES["adam"](), OBJECTIVES["ravine"]()).points
    assert np.array_equal(descend(RULES["adam"](), OBJECTIVES["ravine"](), regime=Regime(seed=5)).points, plain)


def test_lookahead_passes_the_schedule_on():
    regime = Regime(schedule=SCHEDULES["step"](every=1, gamma=0.5))
    wrapped = RULES["lookahead"](base=RULES["sgd"](lr=0.1), sync_period=100)
    paths = [
        descend(rule, OBJECTIVES["booth"](), steps=10, regime=regime) for rule in (wrapped, RULES["sgd"](lr=0.1))
    ]
    assert_allclose(paths[0].points, paths[1].points)


@pytest.mark.parametrize(
    ("wrapper", "formula", "name"),
    [
        ("sam", "m <- 0.9*m + g; w <- w - lr*m", "m"),
        ("sam", "w <- w - m*g", "m"),
        ("sam", "w <- w - radius*g", "radius"),
        ("lookahead", "slow <- 0.9*slow + g; w <- w - lr*slow", "slow"),
        ("lookahead", "slow = 2*g; w <- w - lr*slow", "slow"),
        ("lookahead", "w <- w - lr*g; slow0 = w; w <- 0.99*slow0", "slow0"),
    ],
)
def test_a_wrapper_refuses_a_base_that_uses_its_names(wrapper, formula, name):
    kind = formula_rule(formula)
    base = kind(**dict.fromkeys((field.name for field in fields(kind)), 0.05))
    with pytest.raises(UsageError, match=f"^{wrapper} and .* inside it both use the name {name}$"):
        RULES[wrapper](base=base)


LINE_SEARCHES = ("l-bfgs", "conjugate-gradient")


@pytest.mark.parametrize("wrapper", ["sam", "lookahead"])
def test_a_wrapper_of_code_has_one_answer_for_every_number_of_steps(wrapper):
    for name in LINE_SEARCHES:
        with pytest.raises(UsageError, match=f"^{name} evaluates gradients itself, so {wrapper} cannot wrap it$"):
            RULES[wrapper](base=RULES[name]())
    around = RULES[wrapper](base=RULES["soap"]())
    assert RULES["soap"].formula in around.formula
    for steps in (5, 200):
        with pytest.raises(UsageError, match=f"^{wrapper} needs weight matrices, so it cannot run on a test"):
            descend(around, OBJECTIVES["booth"](), steps=steps)


def test_a_wrapper_in_itself_is_refused():
    for name in ("sam", "lookahead"):
        with pytest.raises(UsageError, match=f"^{name} and {name} inside it both use the name "):
            RULES[name](base=RULES[name]())


def wrapped_by_hand(rule, function, steps):
    """The path of `sam` or `lookahead`, from steps of its base alone."""
    w = slow = np.array([function.start])
    points, state = [w], rule.base.init(w)
    for t in range(1, steps + 1):
        g, quantities = function.gradient(w), quantities_for(rule.base, function, w)
        if rule.name == "sam":
            g = function.gradient(w + rule.radius * g / np.linalg.norm(g))
        w, state = rule.base.step(w, g, t, state, **quantities)
        if rule.name == "lookahead" and t % rule.sync_period == 0:
            w = slow = slow + rule.slow_step_size * (w - slow)
        points.append(w)
    return np.concatenate(points)


@pytest.mark.parametrize("wrapper", ["sam", "lookahead"])
@pytest.mark.parametrize("name", [name for name, kind in RULES.items() if kind.weights != "matrices"])
def test_a_wrapper_refuses_a_rule_or_makes_its_steps(wrapper, name):
    if name in {wrapper, *LINE_SEARCHES}:
        with pytest.raises(UsageError, match=f"^{name} "):
            RULES[wrapper](base=RULES[name]())
    else:
        rule, booth = RULES[wrapper](base=RULES[name]()), OBJECTIVES["booth"]()
        assert_allclose(descend(rule, booth, steps=12).points, wrapped_by_hand(rule, booth, 12), rtol=1e-12)


PLACES = (
    "{0} <- 0.9*{0} + g; w <- w - lr*{0}",  # a state
    "{0} = 2*g; w <- w - lr*{0}",  # an intermediate result
    "w <- w - lr*g; {0} = w; w <- 0.99*{0}",
    "w <- w - {0}*g",  # a setting
    "V0 = {0}*w; V <- 0.5*V + g; w <- w - lr*V",
    "{0}0 = w; {0} <- 0.5*{0} + g; w <- w - lr*{0}",  # a state with a start
    "V <- 0.5*V + g; {0} = 2*V; w <- w - lr*{0}; {0} <- 0.5*{0}",
)


@pytest.mark.parametrize("text", PLACES)
@pytest.mark.parametrize("wrapper", ["sam", "lookahead"])
def test_a_wrapper_refuses_a_typed_rule_or_makes_its_steps(wrapper, text):
    """The names of each wrapper, and one that it has not, in every place of a typed rule."""
    refused, booth = [], OBJECTIVES["booth"]()
    for name in ("m", "e", "radius", "slow", "slow0", "slow00", "sync_period", "slow_step_size", "other"):
        kind = formula_rule(text.format(name))
        base = kind(**dict.fromkeys((field.name for field in fields(kind)), 0.05))
        try:
            rule = RULES[wrapper](base=base)
        except UsageError as error:
            refused.append(str(error).startswith(f"{wrapper} and {base.name} inside it both use the name {name}"))
        else:
            assert_allclose(descend(rule, booth, steps=12).points, wrapped_by_hand(rule, booth, 12), rtol=1e-12)
    assert 0 < len(refused) < 6
    assert all(refused)


@pytest.mark.parametrize("name", ["base", "others", "name"])
def test_a_setting_cannot_have_the_name_of_a_part_of_a_rule(name):
    with pytest.raises(UsageError, match=f"^a setting cannot be called {name}$"):
        formula_rule(f"w <- w - {name}*g")


@pytest.mark.parametrize("name", ["for", "None", "class", "lambda"])
def test_a_python_keyword_cannot_be_assigned(name):
    with pytest.raises(UsageError, match=f"{name} cannot be assigned"):
        formula_rule(f"{name} = 2*g; w <- w - lr*g")


def test_a_number_sign_begins_no_comment():
    for read in (parse, formula_rule):
        with pytest.raises(UsageError, match="unexpected character '#'"):
            read("w <- w - lr*g # + 1" if read is formula_rule else "x^2 # + 100*y^2")


REFUSED = yaml.safe_load((Path(__file__).parent / "refused.yaml").read_text())
"""Formulas that the page refuses, too, each with a part of both messages."""


@pytest.mark.parametrize("formula", REFUSED)
def test_wrong_formulas_are_refused(formula):
    with pytest.raises(UsageError, match=re.escape(REFUSED[formula])):
        formula_rule(formula)
