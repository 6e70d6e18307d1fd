"""`optilab verify` and `optilab explain` as typed: their numbers are those of the run."""

import json
import re
import shlex

import pytest

ADAM = """
import numpy as np

class Adam:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.V, self.S, self.t = 0, 0, 0

    def update(self, w, g):
        self.t += 1
        self.V = self.beta1 * self.V + (1 - self.beta1) * g
        self.S = self.beta2 * self.S + (1 - self.beta2) * g**2
        v, s = self.V / (1 - self.beta1**self.t), self.S / (1 - self.beta2**self.t)
        return w - self.lr * v / ROOT
"""


@pytest.fixture
def verify(optilab, tmp_path):
    """Compare an Adam with that root with the laboratory's."""

    def run(root, *more, code=0):
        (tmp_path / "my_adam.py").write_text(ADAM.replace("ROOT", root))
        return optilab("verify", "my_adam.py:Adam", "--against", "adam", *more, code=code).stdout

    return run


def test_verdict_follows_the_settings(verify):
    wrong = json.loads(verify("np.sqrt(s + self.eps)", "--json", code=9))
    (explanation,) = wrong["explanation"]
    assert explanation.startswith("eps inside the root: your code acts as w <- w - lr*(v/sqrt(s + eps));")
    assert (wrong["equal"], wrong["first_step"], wrong["settings"]["eps"]) == (False, 1, 0.0013)
    variant = ("--set", "algo.eps_placement=inside", "--set", "algo.eps=1e-2", "--epochs", 7)
    right = json.loads(verify("np.sqrt(s + self.eps)", *variant, "--json"))
    assert (right["equal"], right["steps"], right["settings"]["eps"]) == (True, 7, 1e-2)


def test_proposed_calculation_has_the_numbers_of_the_comparison(verify, optilab):
    """The preset of adam has another lr, eps and place of eps than the comparison."""
    shown = verify("(2 * np.sqrt(s) + self.eps)", "--function", "booth", "--details", code=9)
    line = re.search(r"optilab (explain .*)$", shown, flags=re.MULTILINE)[1]
    expected = re.search(r"^adam +(\S+) +(\S+)$", shown, flags=re.MULTILINE)
    calculated = json.loads(optilab(*shlex.split(line), "--json").stdout)["result"]
    assert [f"{value:.6g}" for value in calculated] == list(expected.groups())


def test_explained_steps_are_those_of_the_run(optilab):
    results = json.loads(optilab("explain", "sgd,adam", "--step", "2-3", "--json").stdout)["results"]
    assert [(r["algo"], r["step"]) for r in results] == [("sgd", 2), ("sgd", 3), ("adam", 2), ("adam", 3)]
    paths = json.loads(optilab("optimize", "--algo", "sgd,adam", "--epochs", 3, "--json").stdout)["results"]
    assert [r["result"] for r in results] == [path["points"][step] for path in paths for step in (2, 3)]
    alone = optilab("explain", "--algo", "adam", "--step", 3).stdout
    assert optilab("explain", "sgd,adam", "--step", "2-3").stdout.endswith(alone)


def test_latex_has_no_decimal_exponents(optilab):
    latex = optilab("explain", "--algo", "rmsprop", "--format", "latex").stdout
    assert r"\frac{0.3 \cdot (-8)}{\sqrt{6.4 + 1 \cdot 10^{-6}}} = -1.05131678 \\" in latex
    inside = latex.split(r"\begin{align*}")[1].split(r"\end{align*}")[0]
    assert all(line.endswith(r"\\") for line in inside.strip().splitlines())


def test_rule_around_another_runs_again_from_its_config(optilab):
    wrapped = optilab(
        "optimize", "--algo", "lookahead", "--set", "algo.base.name=sgd", "--set", "algo.base.lr=0.3"
    )
    assert "base sgd (lr 0.3)" in wrapped.stdout
    run = wrapped.stdout.splitlines()[-1]
    again = optilab("optimize", "--config", f"{run}/config.yaml")
    assert again.stdout.splitlines()[:-1] == wrapped.stdout.splitlines()[:-1]
