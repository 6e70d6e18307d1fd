"""A rule of the user's own is the rule that it spells out, on paths, in maps and in races, whatever its interface."""

import json
import sys
import textwrap
from dataclasses import fields, replace

import numpy as np
import pytest

from optilab.config.load import dump, load
from optilab.config.optimize import OptimizeConfig
from optilab.errors import ConfigError, UsageError
from optilab.optimize import OBJECTIVES, RULES, Regime, descend
from optilab.optimize.maps import run_grid
from optilab.optimize.own import kind_of
from optilab.optimize.path import worked_steps

SOURCE = """
import numpy as np
from dataclasses import dataclass
from typing import NamedTuple

def function(w, g, V, S, t, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8):
    V = beta1 * V + (1 - beta1) * g
    S = beta2 * S + (1 - beta2) * g**2
    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S

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
"""
TORCH = "import torch\nclass Torch(torch.optim.Adam): pass\n"
INTERFACES = ("function", "in_place", "Stateful", "Steps", "Torch")


@pytest.fixture
def own(tmp_path):
    """The rule class of a name in a file with this source."""

    def make(name, source=SOURCE, file="mine.py"):
        (tmp_path / file).write_text(textwrap.dedent(source))
        return kind_of(f"{tmp_path / file}:{name}")

    return make


def adam(own, name):
    return own(name, TORCH if name == "Torch" else SOURCE)


# --- the same rule, however it is written ------------------------------------------------------------------


@pytest.mark.parametrize("name", INTERFACES)
@pytest.mark.parametrize("function", ["ravine", "rosenbrock"])
def test_adam_written_by_hand_is_adam(own, name, function):
    mine, known = adam(own, name)(lr=0.05, eps=1e-3), RULES["adam"](lr=0.05, eps=1e-3)
    for start in (None, [0.5, -1.5]):
        path, expected = (descend(rule, OBJECTIVES[function](), start, steps=40) for rule in (mine, known))
        np.testing.assert_allclose(path.points, expected.points, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", INTERFACES)
def test_a_schedule_changes_its_learning_rate(own, name):
    regime = Regime(schedule=load(OptimizeConfig, None, overrides("adam", "schedule=cosine")).schedule)
    mine, known = (rule(lr=0.3, eps=1e-3) for rule in (adam(own, name), RULES["adam"]))
    paths = [descend(rule, OBJECTIVES["booth"](), steps=20, regime=regime).points for rule in (mine, known)]
    np.testing.assert_allclose(*paths, rtol=1e-11)


@pytest.mark.parametrize("name", ["function", "Stateful", "in_place"])
def test_a_cell_of_a_map_is_the_path_with_its_settings(own, name):
    """Traced or not; the second function of the file cannot be traced."""
    rule, function = own(name)(), OBJECTIVES["booth"]()
    lr, beta = np.array([[0.01, 0.1, 1.0]]), np.array([[0.0], [0.9]])
    ends = run_grid(rule, function, np.array(function.start)[None, None], 30, {"lr": lr, "beta1": beta})
    for i, j in np.ndindex(2, 3):
        path = descend(replace(rule, lr=lr[0, j].item(), beta1=beta[i, 0].item()), function, steps=30)
        np.testing.assert_allclose(ends.points[i, j], path.points[-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "source",
    [
        # every point by itself: a norm over the vector
        "import numpy as np\ndef f(w, g, lr=0.1): return w - lr * g / np.linalg.norm(g)",
        # what tracing cannot see: a counter outside
        "n = 0\ndef f(w, g, lr=0.1):\n    global n\n    n += 1\n    return w - lr * (n % 2 + 1) * g",
        # a branch
        "def f(w, g, lr=0.1): return w - lr * g if g[0] > 0 else w - 0.5 * lr * g",
    ],
    ids=["norm", "hidden state", "branch"],
)
def test_a_map_of_any_code_is_what_the_code_does(own, source):
    rule, function = own("f", source)(), OBJECTIVES["ravine"]()
    lr = np.linspace(0.05, 0.3, 4)[None]
    ends = run_grid(rule, function, np.array(function.start)[None, None], 10, {"lr": lr}, workers=1)
    if "global" in source:
        assert len({tuple(point) for point in ends.points[0].tolist()}) == 4
        return
    for j in range(4):
        path = descend(replace(rule, lr=lr[0, j].item()), function, steps=10)
        np.testing.assert_allclose(ends.points[0, j], path.points[-1], rtol=1e-12)


def test_states_are_not_changed_by_the_next_step(own):
    rule = own("in_place")()
    state = rule.init(np.array([1.0, 2.0]))
    first = rule.update(np.array([0.1, 0.2]), state)
    again = rule.update(np.array([0.1, 0.2]), state)
    np.testing.assert_array_equal(first[0], again[0])
    gradient = np.array([0.3, 0.4])
    rule.update(gradient, first[1])
    np.testing.assert_array_equal(gradient, [0.3, 0.4])


# --- settings ----------------------------------------------------------------------------------------------


def overrides(algo, *settings):
    from optilab.config.load import Override, override_from_text

    return [Override("--algo", "algo", [algo]), *(override_from_text("--set", text) for text in settings)]


def test_settings_are_read_without_running_the_file(own, tmp_path):
    source = """
    raise SystemExit("executed")
    def f(w, g, V, lr, nu=0.5, *, steps: int = 5, form="a"): ...
    class C:
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), weight_decay=0): ...
    """
    own("f", source)
    spec = str(tmp_path / "mine.py")
    config = load(OptimizeConfig, None, overrides(f"{spec}:f", "algo.nu=1e-3", "algo.steps=7"))
    (rule,) = config.algo
    assert (rule.lr, rule.nu, rule.steps, rule.form) == (0.01, 1e-3, 7, "a")
    assert [f.name for f in fields(kind_of(f"{spec}:C"))] == ["lr", "beta1", "beta2", "weight_decay"]
    with pytest.raises(UsageError, match="executed"):
        descend(rule, OBJECTIVES["ravine"]())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("algo.beta3=0.5", 'did you mean "algo.beta[12]"'),
        ("algo.learning_rate=1", 'did you mean "algo.lr"'),
        ("algo.eps=small", "expected a number"),
        ("algo.sha256=abc", "mine.py has changed: its SHA-256"),
    ],
)
def test_settings_are_checked_against_the_signature(own, tmp_path, setting, message):
    own("function")
    with pytest.raises(ConfigError, match=message):
        load(OptimizeConfig, None, overrides(f"{tmp_path / 'mine.py'}:function", setting))


def test_a_config_that_was_written_repeats_the_path_until_the_file_changes(own, optilab, tmp_path):
    own("function")
    first = optilab("optimize", "--algo", "mine.py:function", "--lr", "0.2", "--quiet").stdout.strip()
    run = tmp_path / first
    assert (run / "mine.py").read_text() == (tmp_path / "mine.py").read_text()
    entry = json.loads((run / "manifest.json").read_text())["own_rules"]
    assert list(entry) == [f"{tmp_path / 'mine.py'}:function"]
    again = optilab("optimize", "--config", run / "config.yaml", "--quiet", cwd=tmp_path).stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    with (tmp_path / "mine.py").open("a") as file:
        file.write("# changed\n")
    assert "mine.py has changed" in optilab("optimize", "--config", run / "config.yaml", code=2).stderr


def test_an_installed_module_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "somewhere" / "inner"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "rules.py").write_text("def f(w, g, lr=0.5): return w - lr * g")
    monkeypatch.syspath_prepend(tmp_path)
    kind = kind_of("somewhere.inner.rules:f")
    config = load(OptimizeConfig, None, overrides("somewhere.inner.rules:f"))
    assert dump(config)["algo"][0]["name"] == "somewhere.inner.rules:f"
    paths = [descend(rule, OBJECTIVES["ravine"]()).points for rule in (kind(), RULES["sgd"](lr=0.5))]
    np.testing.assert_allclose(*paths, rtol=1e-12)


# --- commands ----------------------------------------------------------------------------------------------


def test_every_command_takes_it(own, optilab):
    own("function")
    shown = optilab("optimize", "--algo", "mine.py:function,adam", "--tune", 5).stdout
    assert "mine.py:function" in shown
    worked = json.loads(optilab("explain", "mine.py:function", "--step", 2, "--json").stdout)
    assert worked["algo"] == "mine.py:function"
    found = optilab("map", "--algo", "mine.py:function", "--x", "lr=0.1:1:5", "--y", "beta1=0:0.9:4", "--json")
    assert json.loads(found.stdout)["cells"] == 20
    few = ("--function", "ravine,booth", "--budget", 3, "--starts", 2, "--repeats", 2, "--no-cache", "--json")
    race = json.loads(optilab("race", "--algo", "mine.py:function,adam", *few).stdout)
    assert {row["rule"] for row in race["standings"]} == {"mine.py:function", "adam"}
    assert optilab("verify", "mine.py:function", "--against", "adam", "--json").returncode == 0


def test_a_formula_of_its_own_is_worked_out_and_checked(own):
    right = "class F:\n    formula = 'w <- w - lr*g'\n    lr = 0.1\n"
    code = "    def __init__(self, lr=0.1): self.lr = lr\n    def update(self, w, g): return w - {}*self.lr*g\n"
    step = next(worked_steps(own("F", right + code.format(1))(), OBJECTIVES["ravine"]()))
    assert [line.target for line in step.lines] == ["w"]
    with pytest.raises(UsageError, match="the `formula` attribute does not match the code: at step 1"):
        next(worked_steps(own("F", right + code.format(2))(), OBJECTIVES["ravine"]()))


@pytest.mark.parametrize(
    ("states", "returned"),
    [
        ("m=0, v=0, t=0", "m, v, t"),
        ("*, m=0.0, v=0.0, t=0", "m, v, t"),
        ("m=None, v=None, t=0, flag=False", "m, v, t"),  # a switch is a setting
        ("m=0, v=0, t=0", "1 * m, 1 * v, t + 0"),
    ],
)
def test_state_may_have_a_default(own, states, returned):
    body = """
        m = 0.9 * (0 if m is None else m) + 0.1 * g
        v = 0.99 * (0 if v is None else v) + 0.01 * g**2
        {count}
        return w - lr * m / (1 - 0.9**t) / ((v / (1 - 0.99**t)) ** 0.5 + 1e-8), {returned}
    """
    kind = own("f", f"def f(w, g, lr=0.2, {states}):" + body.format(count="t += 1", returned=returned))
    plain = own("f", "def f(w, g, m, v, t, lr=0.2):" + body.format(count="", returned="m, v"))
    paths = [descend(one(), OBJECTIVES["ravine"](), None, 20).points for one in (kind, plain)]
    assert np.array_equal(*paths)
    assert {"m", "v", "t"}.isdisjoint(setting.field for setting in kind.settings)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def f(w, g, t, lr=0.1):\n    if t == 3:\n        raise ValueError('no')\n    return w",
            "step 3: line 3: ValueError: no",
        ),
        ("def f(w, g, lr=0.1): return w[:1]", "step 1: line 1: returned an array of shape (1,), not (2,)"),
        ("def f(w, g, m=None): return w - (0.9 * m + g)", "and 'NoneType'; one of these is None: begin with a"),
        (
            "def f(w, g, kappa): return w - kappa * g",
            "returned only w, but it takes the state kappa: end it with return w, kappa (a hyper",
        ),
        (
            "def f(w, g, lr=0.1, m=0):\n    both = w, m, m\n    return both",
            "returned w and 2 more, but it takes no state (a parameter without a default is state, and so is",
        ),
        (
            "def f(w, g, lr=0.1, v=0):\n    v = 0.9 * v + g\n    w -= lr * v",
            "returned nothing, but it takes the state v: end it with return w, v (a hyper",
        ),
        (
            "def f(w, g, lr=0.1, v=0):\n    w -= lr * g",
            "returned nothing; expected the new w: end it with return w,",
        ),
        (
            "class f:\n    def init(self, x): return x\n    def update(self, g, state): return -g",
            "f, step 1: line 3: update returned [1. 8.]; end it with return step, state",
        ),
        ("def f(w, g, name='x'): return w", "a parameter cannot be called name"),
        ("class f:\n    shaped = True\n    def update(self, w, g): return w", "works on weight matrices"),
        ("import math\ndef f(w, g): return w - g / math.exp(g)", "do not: np.exp and not math.exp"),
        (
            "class E(BaseException): pass\ndef f(w, g): raise E",
            "mine.py:f failed at step 1: line 2: E: , in: def f",
        ),
        ("import os\ndef f(w, g): os._exit(0)", "mine.py:f failed at step 1: line 2: SystemExit: os._exit(0)"),
        ("from math import sqrt\ndef f(w, g): return w - g / sqrt(g)", "do not: np.sqrt and not math.sqrt"),
    ],
)
def test_an_error_in_it_names_the_line_and_the_step(own, optilab, tmp_path, source, said):
    (tmp_path / "mine.py").write_text(source)
    error = optilab("optimize", "--algo", "mine.py:f", "--no-save", code=2).stderr
    assert said in error.replace("\n    ", " ")


@pytest.mark.parametrize(
    ("helper", "said"),
    [
        ("x = (1 +", "mine.py:1: SyntaxError: '(' was never closed (aid.py, line 1), in: import aid"),
        ("\n\ndef x(g):\n    return g + y", "line 3: aid.py:4: NameError: name 'y' is not defined"),
    ],
)
def test_an_error_in_a_file_beside_it_names_that_file(helper, said, optilab, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "aid", raising=False)
    (tmp_path / "aid.py").write_text(helper)
    (tmp_path / "mine.py").write_text("import aid\ndef f(w, g, lr=0.1):\n    return w - aid.x(g)")
    assert said in optilab("optimize", "--algo", "mine.py:f", "--no-save", code=2).stderr.replace("\n    ", " ")


def test_a_rule_runs_with_the_garbage_collector_on(optilab, tmp_path):
    """The start of a command turns it off."""
    source = "import gc\ndef f(w, g, lr=0.1):\n    assert gc.isenabled()\n    return w - lr * g\n"
    (tmp_path / "mine.py").write_text(source)
    optilab("optimize", "--algo", "mine.py:f", "--no-save")


def test_it_changes_no_directory_of_the_command(optilab, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").write_text(
        "import os\nos.chdir('elsewhere')\ndef f(w, g): os.chdir('.'); return w - g / 9\n"
    )
    optilab("optimize", "--algo", "mine.py:f", "--name", "here", "--out", "plot.svg")
    assert (tmp_path / "runs" / "here" / "metrics.csv").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_error_in_some_cells_of_a_map_is_the_users(own, optilab, tmp_path):
    source = (
        "def f(w, g, lr=0.1):\n    if lr > 0.5:\n        raise ValueError('too large')\n    return w - lr * g\n"
    )
    (tmp_path / "mine.py").write_text(source)
    asked = ("map", "--algo", "mine.py:f", "--x", "lr=0.1:1:20", "--y", "w1=0:1:20")
    assert "line 3: ValueError: too large" in optilab(*asked, code=2).stderr


def test_decoupled_decay_and_two_rules_of_one_name_are_refused(own, optilab, tmp_path):
    own("function")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text(SOURCE)
    decayed = ("--set", "weight_decay=0.1", "--set", "weight_decay_form=decoupled")
    assert "does not fit" in optilab("optimize", "--algo", "mine.py:function", *decayed, code=2).stderr
    twice = optilab("race", "--algo", "mine.py:function,other/mine.py:function", code=2).stderr
    assert "two optimizers of that name" in twice
    inside = optilab("optimize", "--algo", "lookahead", "--set", "algo.base=mine.py:function", code=2).stderr
    assert "an optimizer inside another has to be one of optilab's" in inside
