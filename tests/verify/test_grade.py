"""A teacher's grader: correct implementations pass, each wrong convention is named, other mistakes are errors."""

import textwrap

import pytest

from optilab.errors import UsageError
from optilab.optimize import ALGORITHMS, FUNCTIONS, Regime
from optilab.verify.candidate import load
from optilab.verify.grade import grade

ADAM_CLASS = """
import numpy as np

class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.V = self.S = 0.0
        self.t = {first} - 1

    def update(self, w, g):
        self.t += 1
        self.V = self.beta1 * self.V + {share} * g
        self.S = self.beta2 * self.S + (1 - self.beta2) * g**2
        v = self.V / (1 - self.beta1**self.t){uncorrected}
        s = self.S / (1 - self.beta2**self.t){uncorrected}
        v, s = np.asarray(v), np.asarray(s)
        return w - self.lr * {ratio}
"""
RIGHT = {"first": 1, "share": "(1 - self.beta1)", "uncorrected": "", "ratio": "v / (np.sqrt(s) + self.eps)"}
WRONG = {
    "classic": ({"share": "1"}, "(classic)"),
    "inside": ({"ratio": "v / np.sqrt(s + self.eps)"}, "eps inside the root"),
    "added": ({"ratio": "(v / np.sqrt(s) + self.eps)"}, "eps added to the ratio"),
    "t from 0": ({"first": 0}, "t counted from 0"),
}


def candidate(tmp_path, source, name):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(source))
    return load(f"{path}:{name}")


def adam(tmp_path, **changes):
    return candidate(tmp_path, ADAM_CLASS.format(**{**RIGHT, **changes}), "Adam")


def judge(found, name, regime=None, given=(), **settings):
    return grade(found, ALGORITHMS[name](**settings), regime=regime, given=given)


def test_a_correct_class_passes(tmp_path):
    verdict = judge(adam(tmp_path), "adam")
    assert verdict.equal
    assert verdict.settings["eps"] == 1e-3  # it takes eps: compared where the conventions show


@pytest.mark.parametrize("mistake", WRONG)
def test_each_convention_is_named(tmp_path, mistake):
    changes, said = WRONG[mistake]
    verdict = judge(adam(tmp_path, **changes), "adam")
    assert verdict.first_step == 1
    (reason,) = verdict.explanation
    assert said in reason


def test_the_smallest_explanation_of_two_mistakes(tmp_path):
    source = ADAM_CLASS.format(**{**RIGHT, "share": "1", "ratio": "v / np.sqrt(s + self.eps)"})
    verdict = judge(candidate(tmp_path, source, "Adam"), "adam")
    assert len(verdict.explanation) == 2
    assert "(classic)" in verdict.explanation[0]
    assert verdict.explanation[1] == "eps inside the root"


def test_missing_bias_correction_is_named_and_the_step(tmp_path):
    source = """
    import numpy as np
    def adam(w, g, lr, V, S, beta1, beta2, t):
        V = beta1 * V + (1 - beta1) * g
        S = beta2 * S + (1 - beta2) * g**2
        return w - lr * V / (np.sqrt(S) + 1e-8), V, S
    """
    verdict = judge(candidate(tmp_path, source, "adam"), "adam")
    assert verdict.settings["eps"] == 1e-8  # it is written into the function
    assert verdict.explanation == ("no bias correction",)
    assert verdict.first_step == 1
    assert verdict.point != verdict.expected


@pytest.mark.parametrize(
    ("v", "s", "moment"), [("V / (1 - beta1**t)", "S", "first"), ("V", "S / (1 - beta2**t)", "second")]
)
def test_one_corrected_moment_of_two_is_named(tmp_path, v, s, moment):
    source = f"""
    import numpy as np
    def adam(w, g, lr, V, S, beta1, beta2, eps, t):
        V = beta1 * V + (1 - beta1) * g
        S = beta2 * S + (1 - beta2) * g**2
        return w - lr * ({v}) / (np.sqrt({s}) + eps), V, S
    """
    verdict = judge(candidate(tmp_path, source, "adam"), "adam")
    assert verdict.explanation == (f"bias correction of the {moment} moment only",)


@pytest.mark.parametrize(
    ("source", "name", "against"),
    [
        ("def sgd(W, dW, lr): return W - lr * dW", "sgd", "sgd"),
        (
            """
            def step(w, g, state, learning_rate=0.1, momentum=0.9):
                state["V"] = momentum * state.get("V", 0) + g
                return w - learning_rate * state["V"], state
            """,
            "step",
            "momentum",
        ),
        (
            """
            import numpy as np
            def rmsprop(w, g, S, lr, gamma, epsilon):
                S = gamma * S + (1 - gamma) * g**2
                return w - lr * g / np.sqrt(S + epsilon), S
            """,
            "rmsprop",
            "rmsprop",
        ),
        (
            """
            from dataclasses import dataclass
            print("loaded")

            @dataclass
            class Mine:
                lr: float
                def update(self, w, g):
                    print("stepping")
                    return w - self.lr * g
            """,
            "Mine",
            "sgd",
        ),
        (
            """
            from optilab.optimize.algorithms.adam import Adam as Mine
            """,
            "Mine",
            "adam",
        ),
        (
            """
            import torch
            class Mine(torch.optim.Adam): pass
            """,
            "Mine",
            "adam",
        ),
        (
            """
            import torch
            class Mine(torch.optim.RMSprop):
                def __init__(self, params, lr, alpha, eps):
                    super().__init__(params, lr=lr, alpha=alpha, eps=eps)
            """,
            "Mine",
            "rmsprop",
        ),
    ],
    ids=["function", "state dict", "states by name", "dataclass", "step API", "torch", "torch rmsprop"],
)
def test_accepted_interfaces(tmp_path, capsys, source, name, against):
    settings = {"eps_placement": "outside"} if "torch.optim.RMS" in source else {}
    verdict = judge(candidate(tmp_path, source, name), against, **settings)
    assert verdict.equal, verdict
    assert capsys.readouterr().out == ""  # what a candidate prints is no part of a JSON document


def test_forms_of_other_rules_are_named(tmp_path):
    source = """
    import torch
    class Mine(torch.optim.NAdam): pass
    """
    verdict = judge(candidate(tmp_path, source, "Mine"), "nadam", form="constant")
    assert verdict.explanation == ("form schedule",)


def test_coupled_decay_for_decoupled(tmp_path):
    source = """
    import torch
    class Mine(torch.optim.Adam): pass
    """
    verdict = judge(candidate(tmp_path, source, "Mine"), "adamw", weight_decay=0.1)
    assert verdict.explanation == ("weight decay added to the gradient (coupled)",)
    regime = Regime(weight_decay=0.1, weight_decay_form="coupled")
    assert judge(candidate(tmp_path, source, "Mine"), "adam", regime).equal


def test_an_unknown_difference_has_no_explanation(tmp_path):
    verdict = judge(candidate(tmp_path, "def mine(w, g, lr): return w - 0.5 * lr * g", "mine"), "adam")
    assert not verdict.equal
    assert verdict.explanation == ()


@pytest.mark.parametrize(
    ("source", "spec", "said"),
    [
        ("def f(w, g): return w", "mine.py:h", "it has f"),
        ("def momentum(w, g): return w", "mine.py:momentun", 'did you mean "momentum"'),
        ("def f(w, g): return w", "mine.py", "FILE:NAME"),
        ("def f(w, g): return w", "other.py:f", "no file"),
        ("def f(w, g) return w", "mine.py:f", "mine.py:1: SyntaxError"),
        ("def f(w, g):\n    return w / nothing", "mine.py:f", "step 1: line 2: NameError"),
        ("def f(w, g): return w[0]", "mine.py:f", "shape ()"),
        ("class f: pass", "mine.py:f", "no method update"),
        ("def f(w): return w", "mine.py:f", "takes 1 argument(s)"),
        ("def f(w, g, V, S): return w, V", "mine.py:f", "it takes the states V, S"),
        ("import sys\nsys.exit(3)", "mine.py:f", "mine.py:2: SystemExit"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path, source, spec, said):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(UsageError) as error:
        judge(load(str(tmp_path / spec)), "sgd")
    assert said in str(error.value)
