"""A user's rule is the rule that it spells out, on paths, in maps and in races, whatever its interface.

Messages about mistakes in it: tests/recorded/transcripts/own-optimizers.txt.
"""

import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.config.section import dump
from optilab.config.tree import Override, override_from_text
from optilab.errors import ConfigError, UsageError
from optilab.lab import Lab
from optilab.optimize import OBJECTIVES, RULES, SCHEDULES, Regime, descend, maps
from optilab.optimize.maps import run_grid
from optilab.optimize.user_rule import rule_class
from optilab.show import terminal

ADAM = """
import numpy as np
import torch
from dataclasses import dataclass
from typing import NamedTuple

def function(w, g, V, S, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    V = beta1 * V + (1 - beta1) * g
    S = beta2 * S + (1 - beta2) * g**2
    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S

def defaults(w, g, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, V=None, S=0, t=0):
    V = beta1 * (0 if V is None else V) + (1 - beta1) * g
    S = beta2 * S + (1 - beta2) * g**2
    t += 1
    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S, t

def in_place(w, g, state, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    V = state.setdefault("V", np.zeros_like(w))
    S = state.setdefault("S", np.zeros_like(w))
    V *= beta1
    V += (1 - beta1) * g
    g *= g
    S *= beta2
    S += (1 - beta2) * g
    w -= lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps)
    return w

class Stateful:
    def __init__(self, learning_rate=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
        self.learning_rate, self.beta1, self.beta2, self.eps = learning_rate, beta1, beta2, eps
        self.V = self.S = 0.0
        self.t = 0

    def update(self, w, g):
        self.t += 1
        self.V = self.beta1 * self.V + (1 - self.beta1) * g
        self.S = self.beta2 * self.S + (1 - self.beta2) * g**2
        v, s = self.V / (1 - self.beta1**self.t), self.S / (1 - self.beta2**self.t)
        return w - self.learning_rate * v / (np.sqrt(s) + self.eps)

class State(NamedTuple):
    V: object
    S: object
    t: int

@dataclass(frozen=True)
class Steps:
    lr: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, x):
        return State(np.zeros_like(x), np.zeros_like(x), 0)

    def update(self, g, state):
        t = state.t + 1
        V = self.beta1 * state.V + (1 - self.beta1) * g
        S = self.beta2 * state.S + (1 - self.beta2) * g**2
        step = -self.lr * V / (1 - self.beta1**t) / (np.sqrt(S / (1 - self.beta2**t)) + self.eps)
        return step, State(V, S, t)

class Torch(torch.optim.Adam):
    pass
"""
INTERFACES = ("function", "defaults", "in_place", "Stateful", "Steps", "Torch")


@pytest.fixture
def user_rule(tmp_path):
    """The rule class of a name in mine.py, which has this source."""

    def make(name, source=ADAM):
        (tmp_path / "mine.py").write_text(source)
        return rule_class(f"{tmp_path / 'mine.py'}:{name}")

    return make


def overrides(algo, *settings):
    return [Override("--algo", "algo", [algo]), *(override_from_text(text) for text in settings)]


def ends(rule, function, settings, steps):
    """The ends of a grid of settings."""
    start = np.array(function.start)[None, None]
    return run_grid(rule, function, start, steps, settings).points


@pytest.mark.parametrize("name", INTERFACES)
def test_adam_by_hand_is_adam(user_rule, name):
    """Also from another start, and with a schedule."""
    mine, known = (rule(lr=0.05, eps=1e-3) for rule in (user_rule(name), RULES["adam"]))
    assert {"V", "S", "t"}.isdisjoint(field.name for field in fields(mine))
    for function, start, regime in (
        ("ravine", None, Regime()),
        ("rosenbrock", [0.5, -1.5], Regime()),
        ("booth", None, Regime(schedule=SCHEDULES["cosine"]())),
    ):
        both = [descend(rule, OBJECTIVES[function](), start, 40, regime=regime).points for rule in (mine, known)]
        np.testing.assert_allclose(*both, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["function", "in_place", "Stateful", "Steps"])
@pytest.mark.parametrize("declaration", ["", "pointwise = True"])
def test_map_cell_is_a_path(user_rule, name, declaration):
    source = f"{ADAM}\n{name}.{declaration}\n" if declaration else ADAM
    rule, function = user_rule(name, source)(), OBJECTIVES["booth"]()
    lr, beta = np.array([[0.01, 0.1, 1.0]]), np.array([[0.0], [0.9]])
    points = ends(rule, function, {"lr": lr, "beta1": beta}, 30)
    for i, j in np.ndindex(2, 3):
        path = descend(replace(rule, lr=lr[0, j].item(), beta1=beta[i, 0].item()), function, steps=30)
        np.testing.assert_allclose(points[i, j], path.points[-1], rtol=1e-9, atol=1e-12)
    starts, settings = np.array(function.start)[None, None], {"lr": lr, "beta1": beta}
    size = maps.PathGrid(rule, function, starts, 30, settings, None, np.zeros((1, 1))).kernel()[1]
    assert size == (maps.BLOCK if declaration else maps.USER_BLOCK)


@pytest.mark.parametrize(
    "code",
    [
        "return w - lr * g / np.linalg.norm(g)",  # every point by itself: a norm over the vector
        "return w - lr * g if g[0] > 0 else w - 0.5 * lr * g",
    ],
)
def test_map_of_code_that_sees_one_point(user_rule, code):
    source = f"import numpy as np\ndef f(w, g, lr=0.1): {code}\n"
    rule, function = user_rule("f", source)(), OBJECTIVES["ravine"]()
    lr = np.linspace(0.05, 0.3, 4)[None]
    points = ends(rule, function, {"lr": lr}, 10)
    for j in range(4):
        path = descend(replace(rule, lr=lr[0, j].item()), function, steps=10)
        np.testing.assert_allclose(points[0, j], path.points[-1], rtol=1e-12)
    false = user_rule("f", source + "f.pointwise = True")()
    with pytest.raises(
        UsageError, match=r"mine.py:2: f declares `pointwise = True`, but does not treat each point"
    ):
        ends(false, function, {"lr": lr}, 10)


def test_a_map_of_code_with_a_formula_runs_the_formula(user_rule):
    """Unless an axis is not in it; a formula that takes other steps is refused."""
    source = "def f(w, g, lr=0.1, other=0.5): assert w.ndim == 1; return w - lr * g * (other > 0)\n"
    source += "f.formula = 'FORMULA'\n"
    function, lr = OBJECTIVES["ravine"](), np.linspace(0.05, 0.3, 300)[None]
    rule = user_rule("f", source.replace("FORMULA", "w <- w - lr*g"))()
    np.testing.assert_array_equal(
        ends(rule, function, {"lr": lr}, 100), ends(RULES["sgd"](), function, {"lr": lr}, 100)
    )
    other = {"lr": lr[:, :2], "other": np.array([[0.0], [1.0]])}
    assert ends(rule, function, other, 10)[0].tolist() == [list(function.start)] * 2
    false = user_rule("f", source.replace("FORMULA", "w <- w - 2*lr*g"))()
    with pytest.raises(UsageError, match="f states a `formula` that takes other steps than the code"):
        ends(false, function, {"lr": lr}, 10)


def test_a_slow_map_and_a_slow_race_say_what_makes_code_fast(user_rule, monkeypatch, optilab):
    monkeypatch.setattr(terminal, "MAX_SILENCE_SECONDS", 0.0)
    note = "function runs point by point; code that declares `pointwise = True` runs on all points at once"
    for source, is_slow in ((ADAM, True), (ADAM + "\nfunction.pointwise = True", False)):
        name = user_rule("function", source).code.reference
        for line in (
            ["map", name, "--x", "lr=0.01:0.1:3", "--y", "beta1=0:0.9:3", "--epochs", "5"],
            ["race", f"{name},sgd", "--function", "booth,beale", "--budget", "2", "--starts", "2"],
        ):
            assert (note in " ".join(optilab(*line).stderr.split())) == is_slow


BRANCHES = """
import numpy as np
class Restart:
    def __init__(self, lr=0.05, beta=0.9):
        self.lr, self.beta, self.V = lr, beta, 0.0
    def update(self, w, g):
        self.V = self.beta * self.V + g
        if np.sum(self.V * g) < 0:
            self.V = g
        return w - self.lr * self.V
def brake(w, g, V, lr=0.1, beta=0.9):
    V = beta * V + g
    if np.linalg.norm(V) > 5 * np.linalg.norm(g):
        V = V * 0.5
    return w - lr * V, V
def limit(w, g, lr=0.1):
    size = abs(g).max()
    return w - lr * (g / size if size > 1e6 else g)
"""


def test_each_start_of_a_race_takes_its_branch(user_rule):
    """The numbers are those of code that accepts single points only."""
    single = BRANCHES.replace("(self, w, g):", "(self, w, g):\n        assert w.ndim == 1")
    kinds = [user_rule("Restart", source).code.load() for source in (BRANCHES, single)]
    races = [Lab().race([kind, "sgd"], "booth,beale", budget=5, starts=5, repeats=2) for kind in kinds]
    costs, alone = (race.document()["tunings"] for race in races)
    assert costs == alone


@pytest.mark.parametrize("name", ["Restart", "brake", "limit"])
def test_a_cell_that_takes_another_branch_changes_no_other_cell(user_rule, name):
    rule, function = user_rule(name, BRANCHES)(), OBJECTIVES["booth"]()
    lr = np.full((1, 11), 0.01)
    lr[0, 3] = 10.0
    path = descend(replace(rule, lr=0.01), function, steps=30)
    np.testing.assert_array_equal(ends(rule, function, {"lr": lr}, 30)[0, 5], path.points[-1])


def test_a_map_gives_all_points_to_one_object(user_rule):
    counted = ADAM.replace("self.t += 1", "self.t += 1; calls.append(w.shape)")
    counted += "\ncalls = []\nStateful.pointwise = True\n"
    rule, lr = user_rule("Stateful", counted)(), np.linspace(0.01, 0.3, 100)[None]
    ends(rule, OBJECTIVES["ravine"](), {"lr": lr}, 10)
    calls = rule.code.executed.calls
    assert calls.count((1, 100, 2)) == 20  # to be compared with some of them alone, and for the map
    assert len(calls) < 100


def test_map_of_code_with_a_hidden_state(user_rule):
    source = "n = 0\ndef f(w, g, lr=0.1):\n    global n\n    n += 1\n    return w - lr * (n % 2 + 1) * g"
    points = ends(user_rule("f", source)(), OBJECTIVES["ravine"](), {"lr": np.linspace(0.05, 0.3, 4)[None]}, 10)
    assert len({tuple(point) for point in points[0].tolist()}) == 4


def test_steps_change_no_state_and_no_gradient(user_rule):
    rule, gradient = user_rule("in_place")(), np.array([0.1, 0.2])
    w = np.array([1.0, 2.0])
    state = rule.init(w)
    first, again = (rule.step(w, gradient, 1, state)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(gradient, [0.1, 0.2])


def test_the_signature_is_the_settings(user_rule, tmp_path):
    source = """
from dataclasses import dataclass, field
HALF = 1 / 2
def f(w, g, V, lr, nu=HALF, *, steps: int = 5, form="a", act=abs): return w - lr * act(g), V
class C:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), weight_decay=0): ...
    def step(self): ...
class Inherits(C): ...
@dataclass
class D:
    learning_rate: float = 2 * HALF
    past: list = field(default_factory=list)
    def update(self, w, g): return w - self.learning_rate * g
"""
    user_rule("f", source)
    spec = tmp_path / "mine.py"
    (rule,) = load(OptimizeConfig, None, overrides(f"{spec}:f", "algo.nu=1e-3", "algo.steps=7")).algo
    assert (rule.lr, rule.nu, rule.steps, rule.form) == (0.01, 1e-3, 7, "a")
    assert not hasattr(rule, "act")  # a default that no config can hold stays what the code says
    for name in ("C", "Inherits"):
        assert [f.name for f in fields(rule_class(f"{spec}:{name}"))] == [
            "params",
            "lr",
            "beta1",
            "beta2",
            "weight_decay",
        ]
    assert [f.name for f in fields(rule_class(f"{spec}:D"))] == ["lr"]
    assert len(descend(rule_class(f"{spec}:D")(), OBJECTIVES["ravine"]()).points) == 31
    with pytest.raises(ConfigError, match="has changed"):
        load(OptimizeConfig, None, overrides(f"{spec}:f", "algo.sha256=abc"))


def test_a_function_imports_its_neighbor_when_it_is_called(user_rule, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "helper.py").write_text("def scaled(g): return 0.1 * g\n")
    source, before = "def mine(w, g):\n    from helper import scaled\n    return w - scaled(g)\n", [*sys.path]
    rules = user_rule("mine", source)(), RULES["sgd"](lr=0.1)
    points = [descend(rule, OBJECTIVES["booth"]()).points for rule in rules]
    assert np.array_equal(*points)
    assert sys.path == before


def test_a_file_is_executed_last(user_rule, tmp_path):
    """Neither next to another problem, nor where its checksum is another one."""
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')\n")
    spec = f"{tmp_path / 'mine.py'}:f"
    for wrong, words in (("epochs=0", "epochs: expected"), ("algo.sha256=abc", "has changed")):
        with pytest.raises(ConfigError, match=words) as raised:
            load(OptimizeConfig, None, overrides(spec, wrong))
        assert "SystemExit" not in str(raised.value)
    for source, words in (
        ("raise SystemExit('executed')", "1: SystemExit: executed, in: raise SystemExit"),
        ("\nfrom optilab.optimize import RULES; RULES['adm']", "2: UnknownName: unknown optimizer 'adm'"),
        ("\n\ndef f(w, g) return w", "3: SyntaxError: expected ':', in: def f"),
    ):
        (tmp_path / "mine.py").write_text(source)
        with pytest.raises(ConfigError, match=f"--algo: .*mine.py:{words}"):
            load(OptimizeConfig, None, overrides(spec))


@pytest.mark.parametrize(
    ("parameters", "returned", "states"),
    [
        ("m=0, v=None, t=0, nesterov=False", "w, 0 * w, 0 * w, t", ["m", "v", "t"]),
        ("t=0, m=0, v=None, weight_decay=0", "w, m, m", ["m", "v"]),  # t is the number of the step
        ("clip=None, t=1", "w", []),
        ("V, clip=None", "w, V", ["V"]),
        ("V, m=0", "w, V, 1 / m", ["V"]),  # an error of its first step
    ],
)
def test_a_default_of_nothing_is_state_if_it_is_returned(user_rule, parameters, returned, states):
    kind = user_rule("f", f"def f(w, g, {parameters}, lr=0.1): return {returned}")
    assert [*kind.interface.starts] == states


def test_one_call_cannot_tell_which_default_is_state(user_rule):
    with pytest.raises(UsageError, match=r"mine.py:2: f returns 1 of m, clip: state needs no default"):
        user_rule("f", "\ndef f(w, g, lr=0.1, m=0, clip=None): return w, m")


def test_installed_module_is_found_without_its_package(tmp_path, monkeypatch):
    package = tmp_path / "somewhere" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "rules.py").write_text("def f(w, g, lr=0.5): return w - lr * g")
    monkeypatch.syspath_prepend(tmp_path)
    config = load(OptimizeConfig, None, overrides("somewhere.inner.rules:f"))
    assert dump(config)["algo"][0]["name"] == "somewhere.inner.rules:f"
    both = [descend(rule, OBJECTIVES["ravine"]()).points for rule in (*config.algo, RULES["sgd"](lr=0.5))]
    np.testing.assert_allclose(*both, rtol=1e-12)
