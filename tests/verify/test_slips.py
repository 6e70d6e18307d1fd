"""Slips of real classes: each is found, named as what it is, and nobody is told of one that was not made."""

import pytest

from optilab.optimize import RULES, Regime
from optilab.verify.candidate import load
from optilab.verify.explain import forms_of
from optilab.verify.grade import grade
from optilab.verify.paths import SETTINGS, hyperparameters
from optilab.verify.slips import mistakes, program_of, slips

ADAM = """
import numpy as np
class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        self.lr, self.beta1, self.beta2, self.eps, self.wd = lr, beta1, beta2, eps, weight_decay
        self.V, self.S, self.t = 0.0, 0.0, 0
    def update(self, w, g):
        lr, beta1, beta2, eps, wd = self.lr, self.beta1, self.beta2, self.eps, self.wd
        self.t += 1
        self.V = beta1 * self.V + (1 - beta1) * g
        self.S = beta2 * self.S + (1 - beta2) * g**2
        v = self.V / (1 - beta1**self.t)
        s = self.S / (1 - beta2**self.t)
        return w - lr * v / (np.sqrt(s) + eps)
"""
ADAMW = ADAM.replace("(np.sqrt(s) + eps)", "(np.sqrt(s) + eps) - lr * wd * w").replace(
    "weight_decay=0.0", "weight_decay=0.01"
)
MOMENTUM = "def f(w, g, V, lr=0.1, beta=0.9):\n    V = beta * V + g\n    return w - lr * V, V\n"
RMSPROP = (
    "import numpy as np\ndef f(w, g, S, lr=0.1, decay=0.9, eps=1e-8):\n"
    "    S = decay * S + (1 - decay) * g**2\n    return w - lr * g / np.sqrt(S + eps), S\n"
)
ADAGRAD = (
    "import numpy as np\ndef f(w, g, S, lr=0.1, eps=1e-10):\n"
    "    S = S + g**2\n    return w - lr * g / (np.sqrt(S) + eps), S\n"
)
ADADELTA = (
    "import numpy as np\ndef f(w, g, S, D, lr=1.0, rho=0.9, eps=1e-6):\n    S = rho * S + (1 - rho) * g**2\n"
    "    d = np.sqrt(D + eps) / np.sqrt(S + eps) * g\n    D = rho * D + (1 - rho) * d**2\n    return w - lr * d, S, D\n"
)
LION = (
    "import numpy as np\ndef f(w, g, V, lr=1e-4, beta1=0.9, beta2=0.99, weight_decay=0.0):\n"
    "    d = np.sign(beta1 * V + (1 - beta1) * g)\n    V = beta2 * V + (1 - beta2) * g\n"
    "    return w - lr * (d + weight_decay * w), V\n"
)
NESTEROV = "def f(w, g, V, lr=0.1, beta=0.9):\n    V = beta * V + g\n    return w - lr * (g + beta * V), V\n"
SIGNUM = (
    "import numpy as np\ndef f(w, g, V, lr=1e-3, beta=0.9):\n    V = beta * V + (1 - beta) * g\n"
    "    return w - lr * np.sign(V), V\n"
)
NADAM = (
    "import numpy as np\ndef f(w, g, V, S, state, t, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=4e-3):\n"
    "    m, n = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))\n"
    "    P = state['P'] = state.get('P', 1.0) * m\n"
    "    V = beta1 * V + (1 - beta1) * g\n    S = beta2 * S + (1 - beta2) * g**2\n"
    "    v = n * V / (1 - P * n) + (1 - m) * g / (1 - P)\n    s = S / (1 - beta2**t)\n"
    "    return w - lr * v / (np.sqrt(s) + eps), V, S, state\n"
)
QHM = (
    "import numpy as np\ndef f(w, g, V, lr=0.01, beta=0.999, nu=0.7):\n    V = beta * V + (1 - beta) * g\n"
    "    return w - lr * ((1 - nu) * g + nu * V), V\n"
)
ADAMAX = (
    "import numpy as np\ndef f(w, g, V, S, t, lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8):\n"
    "    V = beta1 * V + (1 - beta1) * g\n    S = np.maximum(beta2 * S, np.abs(g) + eps)\n"
    "    return w - lr * V / (1 - beta1**t) / S, V, S\n"
)
ADABELIEF = (
    "import numpy as np\ndef f(w, g, V, S, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-16):\n"
    "    old, V = V, beta1 * V + (1 - beta1) * g\n    S = beta2 * S + (1 - beta2) * (g - V) ** 2 + eps\n"
    "    return w - lr * V / (1 - beta1**t) / (np.sqrt(S / (1 - beta2**t)) + eps), V, S\n"
)
FTRL = (
    "import numpy as np\ndef f(w, g, S, Z, lr=0.01, beta=0.0, l1=0.0, l2=0.0):\n"
    "    s = (np.sqrt(S + g**2) - np.sqrt(S)) / lr\n    S = S + g**2\n    Z = Z + g - s * w\n"
    "    b = (beta + np.sqrt(S)) / lr + l2\n"
    "    return np.where(np.minimum(np.abs(Z) - l1, b) > 0, (np.sign(Z) * l1 - Z) / np.where(b > 0, b, 1), 0), S, Z\n"
)
SCHEDULE_FREE = (
    "import numpy as np\ndef f(w, g, state, t, lr=1.0, beta1=0.9, weight_decay=0.0):\n"
    "    z = state.get('z', w) - lr * (g + weight_decay * w)\n    x = state.get('x', w)\n    x = x + (z - x) / t\n"
    "    state['z'], state['x'] = z, x\n    return (1 - beta1) * z + beta1 * x, state\n"
)
SIGNSGD = "import numpy as np\ndef f(w, g, lr=1e-3):\n    return w - lr * np.sign(g)\n"
RIGHT = {
    "adam": ADAM,
    "adamw": ADAMW,
    "momentum": MOMENTUM,
    "rmsprop": RMSPROP,
    "adagrad": ADAGRAD,
    "adadelta": ADADELTA,
    "lion": LION,
    "nesterov": NESTEROV,
    "signum": SIGNUM,
    "nadam": NADAM,
    "qhm": QHM,
    "adamax": ADAMAX,
    "adabelief": ADABELIEF,
    "ftrl": FTRL,
    "schedule-free-sgd": SCHEDULE_FREE,
    "signsgd": SIGNSGD,
}
LION_D = "    d = np.sign(beta1 * V + (1 - beta1) * g)\n"
LION_V = "    V = beta2 * V + (1 - beta2) * g\n"
STORED = "self.V = v = self.V / (1 - beta1**self.t)\n        self.S = s"
TABLE = [
    # what passed as equal once
    ("adam", "(1 - beta1) * g", "lr * g", "lr stands for 1 - beta1"),
    ("rmsprop", "(1 - decay) * g", "lr * g", "lr stands for 1 - decay"),
    ("adam", "= self.lr, self.beta1, self.beta2,", "= self.lr, 0.9, 0.999,", "not used: the code acts as with 0.9"),
    ("momentum", "beta * V + g", "(1 - beta) * V + beta * g", ""),
    # what was explained falsely
    ("momentum", "beta * V + g\n", "beta * V + lr * g\n", "lr is a factor of g in V already"),
    ("nesterov", "beta * V + g\n", "beta * V + lr * g\n", "lr is a factor of g in V already"),
    # what had no explanation
    ("adam", "v = self.V / (1 - beta1**self.t)\n        s", STORED, "the corrected V and S is stored"),
    ("adam", "self.t += 1", "self.t = 1", "t stands still at 1"),
    ("adam", "(1 - beta2) * g**2", "g**2", "g^2 enters S as it is"),
    ("adam", "lr * v /", "lr * g /", "g stands for v in w"),
    ("adam", "beta2 * self.S + (1 - beta2)", "beta1 * self.S + (1 - beta1)", ""),
    ("adam", "g**2", "np.sum(g**2)", "g^2 is summed over the coordinates"),
    ("adam", "g**2", "g", "the square is missing"),
    ("adam", " + eps)", ")", "eps is missing"),
    ("rmsprop", "decay * S + (1 - decay) *", "(1 - decay) * S + decay *", "decay and 1 - decay are swapped in S"),
    ("adagrad", "S + g**2", "S + np.abs(g)", "the square is missing"),
    ("adagrad", "S + g**2", "g**2", "S is not summed up"),
    ("adagrad", "(np.sqrt(S) + eps)", "np.sqrt(S + eps)", "eps inside the root"),
    ("adadelta", "(1 - rho) * d**2", "(1 - rho) * g**2", "g stands for d in D"),
    ("adadelta", "    D = rho", "    d = np.sqrt(D + d**2 + eps) / np.sqrt(S + eps) * g\n    D = rho", None),
    ("adadelta", "np.sqrt(S + eps) *", "(np.sqrt(S) + eps) *", "eps outside the root"),
    ("lion", "np.sign(beta1 * V + (1 - beta1) * g)", "beta1 * V + (1 - beta1) * g", "the sign is missing"),
    ("lion", LION_D + LION_V, LION_V + LION_D, "V is updated before it is used"),
    ("lion", "    d =", "    g = g + weight_decay * w\n    d =", "added to the gradient as well"),
    ("lion", "(d + weight_decay * w), V", "d, V", "the weight decay is missing"),
    ("adamw", "- lr * wd * w", "- wd * w", "the weight decay is not multiplied by lr"),
    ("adamw", "- lr * wd * w", "", "the weight decay is missing"),
    ("nesterov", "(g + beta * V)", "(g + V)", "the factor beta is missing in w"),
    ("nesterov", "(g + beta * V)", "V", ""),
    ("momentum", "    V =", "    g = g * min(1.0, 1.0 / np.linalg.norm(g))\n    V =", "is clipped to the norm 1"),
    ("signum", "np.sign(V)", "V", "the sign is missing"),
    ("signum", "np.sign(V)", "np.sign(g)", ""),
    ("adam", "(1 - beta2) * g", "(1 - beta1) * g", "1 - beta1 stands for 1 - beta2 in S"),
    ("adam", "self.t += 1", "self.t = 2", "t stands still at 2"),
    ("adam", "self.t += 1", "self.t += 2", "t is counted up twice"),
    ("adam", "1 - beta1**self.t", "1 - beta1**max(1, self.t - 1)", "t is one step late in v"),
    ("adam", "v = self.V /", "self.t = max(1, self.t - 1); v = self.V /", "t stands still at 1"),
    ("adam", "(1 - beta1**self.t)", "(1 - beta1*self.t)", "beta1*t stands for beta1^t"),
    ("adam", "np.sqrt(s)", "np.sqrt(self.S) / (1 - beta2**self.t)", "sqrt(S)/(1 - beta2^t) stands for sqrt(s)"),
    ("adam", "(np.sqrt(s) + eps)", "np.sqrt(s + eps**2)", "eps^2 inside the root"),
    ("adam", "self.S, self.t = 0.0, 0.0, 0", "self.S, self.t = 0.0, 1.0, 0", "S starts at 1"),
    ("adamw", "lr * wd * w", "lr**2 * wd * w", "lr is a factor of the weight decay twice"),
    ("adamw", "beta1) * g\n", "beta1) * (g + wd * w)\n", "weight decay added to g in V as well"),
    ("lion", "beta2 * V + (1 - beta2) * g", "g", "V is the last g, not averaged"),
    ("adadelta", "np.sqrt(D + eps)", "np.sqrt(D)", "the term eps is missing in d"),
    ("lion", "(1 - beta1) * g)", "(1 - beta1) * g + weight_decay * w)", "as well"),
    ("adadelta", "np.sqrt(D + eps) / np.sqrt(S + eps)", "np.sqrt(S + eps) / np.sqrt(D + eps)", "stands for sqrt(D"),
    ("adagrad", "lr * g", "lr * (g - S)", None),
    ("nesterov", "(g + beta * V)", "(g + beta**2 * V)", "the factor beta is repeated in w"),
    ("momentum", "lr * V", "lr * np.clip(V, -0.3, 0.3)", "the step is clipped to 0.3 in every coordinate, before"),
    ("momentum", "lr * V", "0.7 * lr * V", "the step is multiplied by 0.7"),
    ("momentum", "lr * V", "lr * beta * V", "the step is multiplied by beta"),
    ("momentum", "    V = beta * V + g", "    V = np.clip(beta * V + g, -0.3, 0.3)", "V is clipped to 0.3"),
    ("momentum", "    V =", "    g = g / np.linalg.norm(g)\n    V =", "the gradient is divided by its norm"),
    ("nadam", "(1 - m) * g", "(1 - n) * g", "n stands for m in v"),
    ("nadam", "(t, t + 1)", "(t, t)", "the term 1 is missing in n"),
    ("nadam", "0.96", "0.95", "0.95 stands for 0.96 in every place"),
    ("nadam", "g / (1 - P)", "g / (1 - m)", "m stands for P in one place in v"),
    ("qhm", "(1 - nu) * g + nu * V", "nu * g + (1 - nu) * V", "nu and 1 - nu are swapped in w"),
    ("schedule-free-sgd", "(1 - beta1) * z + beta1 * x", "beta1 * z + (1 - beta1) * x", "beta1 are swapped in w"),
    ("schedule-free-sgd", "(z - x) / t", "(z - x) / (t + 1)", "t counted from 2"),
    ("adamax", "/ S,", "/ (S / (1 - beta2**t)),", "S has a bias correction: S/(1 - beta2^t)"),
    ("adamax", "- lr * V", "- lr / (1 + 0.01 * t) * V", "lr decays: lr/(1 + 0.01*t)"),
    ("adabelief", "(g - V)", "(g - old)", "V is used before it is updated in S"),
    ("ftrl", "np.sign(Z) * l1 - Z", "-np.sign(Z) * l1 - Z", "the sign of sign(Z)*l1 is wrong in w"),
    ("ftrl", "/ lr + l2", "/ lr + 2 * l2", "l2 is multiplied by 2"),
    ("signsgd", "np.sign(g)", "np.sign(g + 1e-4 * w)", "a weight decay of its own, added to the gradient"),
    ("signum", "    V =", "    g = g + 0.01 * w\n    V =", "a weight decay of its own, added to the gradient"),
    ("nadam", "P = state['P'] = state.get('P', 1.0) * m", "P = m", "the factor P is missing in P"),
]  # fmt: skip
"""Rule, code, what stands in its place, words of the explanation; "": any; None: there is none."""


def verdict_of(tmp_path, source, name, regime=None, **settings):
    path = tmp_path / "mine.py"
    path.write_text(source if "import numpy" in source else f"import numpy as np\n{source}")
    kind = "Adam" if "class Adam" in source else "f"
    return grade(load(f"{path}:{kind}"), RULES[name](**settings), regime=regime or Regime())


@pytest.mark.parametrize("name", RIGHT)
def test_the_code_without_a_slip_is_equal(tmp_path, name):
    assert verdict_of(tmp_path, RIGHT[name], name).equal


@pytest.mark.parametrize(("name", "right", "wrong", "words"), TABLE)
def test_a_slip_is_found_and_named(tmp_path, name, right, wrong, words):
    assert right in RIGHT[name]
    verdict = verdict_of(tmp_path, RIGHT[name].replace(right, wrong), name)
    assert not verdict.equal
    said = "; ".join(verdict.explanation)
    assert bool(said) == (words is not None)
    assert (words or "") in said
    assert "does not use the gradient" not in said


TWO = [
    ("adam", {"g**2": "np.abs(g)", "self.t += 1": "self.t = 1"}),
    ("adam", {"- lr * v": "+ lr * v", "(np.sqrt(s) + eps)": "(s + eps)"}),
    ("rmsprop", {"(1 - decay) * g**2": "g**2", "- lr": "+ lr"}),
    ("adagrad", {"np.sqrt(S)": "S", "- lr": "+ lr"}),
    ("lion", {"np.sign(beta1 * V + (1 - beta1) * g)": "beta2 * V + (1 - beta2) * g", "- lr": "+ lr"}),
    ("adadelta", {"(1 - rho) * d**2": "d**2", "(1 - rho) * g**2": "g**2"}),
    ("nesterov", {"beta * V + g": "beta * V + (1 - beta) * g", "(g + beta * V)": "(g + V)"}),
]


@pytest.mark.parametrize(("name", "slips"), TWO)
def test_two_slips_at_once(tmp_path, name, slips):
    source = RIGHT[name]
    for right, wrong in slips.items():
        assert right in source
        source = source.replace(right, wrong)
    assert len(verdict_of(tmp_path, source, name).explanation) in (1, 2)


@pytest.mark.parametrize("name", ["lion", "signum"])
def test_a_decay_in_the_gradient_is_no_accusation(tmp_path, name):
    """On one start, without the gradient, sign(weight_decay*w) is the sign of the gradient."""
    source = RIGHT[name].replace("beta=0.9)", "beta=0.9, weight_decay=0.0)")
    source = source.replace("    d =", "    g = g + weight_decay * w\n    d =").replace(
        " + weight_decay * w), V", "), V"
    )
    source = source.replace("    V = beta * V", "    g = g + weight_decay * w\n    V = beta * V")
    verdict = verdict_of(tmp_path, source, name, Regime(weight_decay=0.1, weight_decay_form="decoupled"))
    assert not verdict.equal
    assert verdict.explanation in (("weight decay added to the gradient (coupled)",),)


def test_a_decay_around_a_rule_with_a_decay_of_its_own(tmp_path):
    """The code has one weight decay: the one that is asked for."""
    source = LION.replace("    d =", "    g = g + weight_decay * w\n    d =").replace(
        " + weight_decay * w), V", "), V"
    )
    assert verdict_of(tmp_path, source, "lion", Regime(weight_decay=0.1, weight_decay_form="coupled")).equal


def test_a_limit_that_is_left_out_has_no_number(tmp_path):
    """Any number that stands in the code and never acts would do: here that of the square."""
    source = (
        "def f(w, g, R, C, t, lr=0.01, decay_exponent=0.8, eps=1e-30, eps_weights=1e-3):\n"
        "    b, q = 1 - t**-decay_exponent, g**2 + eps\n"
        "    R = b * R + (1 - b) * q.mean(1, keepdims=True)\n    C = b * C + (1 - b) * q.mean(0, keepdims=True)\n"
        "    k = max(eps_weights, np.sqrt(np.mean(w**2))) * min(lr, t**-0.5)\n"
        "    return w - k * g / np.sqrt(R * C / R.mean()), R, C\n"
    )
    assert verdict_of(tmp_path, source, "adafactor").explanation == ("clip is missing",)


def test_a_curvature_that_is_not_used_is_no_eps(tmp_path):
    source = "def f(w, g, V, lr=1e-3, beta1=0.96):\n    V = beta1 * V + (1 - beta1) * g\n"
    source += "    return w - lr * np.clip(V, -1, 1), V\n"
    said = verdict_of(tmp_path, source, "sophia").explanation
    assert said == ("the division by max(gamma*D, eps) is missing in u",)


def test_state_that_all_objects_share(tmp_path):
    source = ADAM.replace("self.V", "Adam.V").replace("self.S", "Adam.S").replace("self.t", "Adam.t")
    head, body = source.split("    def __init__", 1)
    body = body.replace("        Adam.V, Adam.S, Adam.t = 0.0, 0.0, 0\n", "")
    shared = f"{head}    V, S, t = 0.0, 0.0, 0\n    def __init__{body}"
    assert shared.count("Adam.V") < source.count("Adam.V")
    said = "; ".join(verdict_of(tmp_path, shared, "adam").explanation)
    assert "another path when it starts again from the same point" in said


@pytest.mark.parametrize("changes", [{"beta": "(1 - beta) * V + beta * g"}], ids=["swapped shares"])
def test_the_exercise_s_settings_open_no_door(tmp_path, changes):
    """beta 0.5 cannot tell beta from 1 - beta."""
    exercise = RULES["momentum"](lr=0.6, beta=0.5, form="ema")
    path = tmp_path / "mine.py"
    for line, equal in (("beta * V + (1 - beta) * g", True), (changes["beta"], False)):
        path.write_text(f"def f(w, g, V, lr, beta):\n    V = {line}\n    return w - lr * V, V\n")
        assert grade(load(f"{path}:f"), RULES["momentum"](), other=exercise).equal is equal


class TestSettings:
    def test_no_two_coincide_and_none_is_a_default(self):
        for number in range(3):
            values = [choice[number] for choice in SETTINGS.values() if isinstance(choice[number], float)]
            others = [1 - value for value in values]
            assert len(set(values)) == len(values)
            assert not set(values) & {0.0, 0.5, 1.0}
            assert min(abs(a - b) for a in values for b in others) > 1e-4

    @pytest.mark.parametrize("name", RULES)
    def test_every_hyperparameter_has_three(self, name):
        rule = RULES[name]()
        for key, value in hyperparameters(rule).items():
            if not isinstance(value, bool):
                choices = SETTINGS[key.rpartition(".")[2]]
                assert len({*choices, value}) == 4


@pytest.mark.parametrize("name", [n for n in RULES if program_of(RULES[n]())])
def test_every_rule_has_a_lattice_of_slips(name):
    rule = RULES[name]()
    program = program_of(rule)
    words = [text for text, _ in (*slips(program), *mistakes(program))]
    assert len(words) >= 3
    for form in forms_of(rule):
        assert program_of(type(rule)(**form))
