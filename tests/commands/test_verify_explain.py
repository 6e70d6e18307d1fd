"""`optilab verify` and `optilab explain` as typed."""

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
def adam(tmp_path):
    def write(root):
        (tmp_path / "my_adam.py").write_text(ADAM.replace("ROOT", root))
        return "my_adam.py:Adam"

    return write


class TestVerify:
    def test_a_right_implementation(self, optilab, adam):
        done = optilab("verify", adam("(np.sqrt(s) + self.eps)"), "--against", "adam")
        assert "equal to 1e-11 at every step" in done.stdout

    def test_a_wrong_one_is_explained_and_exits_with_9(self, optilab, adam):
        done = optilab("verify", adam("np.sqrt(s + self.eps)"), "--against", "adam", code=9)
        assert "differs from step 1 on" in done.stdout
        assert "  eps inside the root" in done.stdout

    def test_json(self, optilab, adam):
        spec = adam("np.sqrt(s + self.eps)")
        said = json.loads(optilab("verify", spec, "--against", "adam", "--json", code=9).stdout)
        assert said["explanation"] == ["eps inside the root"]
        assert (said["equal"], said["first_step"], said["settings"]["eps"]) == (False, 1, 0.0013)
        form = ("--set", "algo.eps_placement=inside", "--set", "algo.eps=1e-2", "--epochs", 7)
        said = json.loads(optilab("verify", spec, "--against", "adam", *form, "--json").stdout)
        assert (said["equal"], said["steps"], said["settings"]["eps"]) == (True, 7, 1e-2)

    def test_what_no_convention_explains_is_calculated_with_the_same_numbers(self, optilab, adam):
        """The preset of adam has another lr, eps and place of eps than the comparison."""
        said = optilab(
            "verify", adam("(2 * np.sqrt(s) + self.eps)"), "--against", "adam", "--function", "booth", code=9
        ).stdout
        line = re.search(r"optilab (explain .*)$", said, flags=re.MULTILINE)[1]
        expected = re.search(r"^adam +(\S+) +(\S+)$", said, flags=re.MULTILINE)
        calculated = json.loads(optilab(*shlex.split(line), "--json").stdout)["result"]
        assert [f"{value:.12g}" for value in calculated] == list(expected.groups())

    def test_a_forgotten_return_and_a_division_by_zero(self, optilab, tmp_path):
        (tmp_path / "mine.py").write_text(
            "def forgot(w, g, lr):\n    w -= lr * g\n"
            "def zero(w, g, lr, V, beta, t):\n    V = beta*V + g\n    return w - lr*V/(1 - beta**(t - 1)), V\n"
        )
        refused = optilab("verify", "mine.py:forgot", "--against", "sgd", code=2).stderr
        assert (
            "mine.py:forgot, step 1: line 1: returned nothing; expected the new w: end it with return w" in refused
        )
        said = optilab("verify", "mine.py:zero", "--against", "momentum", code=9).stdout
        assert "differs from step 1 on, where it is not finite" in said
        assert "your code returns nan or inf at step 1" in said

    def test_code_that_makes_no_step_is_explained_by_no_slip(self, optilab, tmp_path):
        (tmp_path / "mine.py").write_text("def still(w, g, lr): return w\n")
        (tmp_path / "loop.py").write_text("def train(model, data):\n    return model\n")
        said = optilab("verify", "mine.py:still", "--against", "adam", code=9).stdout
        assert "your code returns w as it was given" in said
        assert "explained by" not in said
        refused = optilab("verify", "loop.py", "--against", "adam", code=2).stderr
        assert "no function f(w, g, ...): train(model, data) is no optimizer" in refused

    def test_without_optax_its_column_is_empty_and_that_is_said(self, optilab, monkeypatch):
        monkeypatch.setattr("optilab.verify.cases.find_spec", lambda name: None if name == "optax" else name)
        said = optilab("verify", "--algo", "sgd,newton").stdout
        assert "optax is not installed: nothing was compared with it; it comes with: pip install optax" in said
        assert said.count("not installed") == 1

    def test_rows_of_the_table(self, optilab):
        rows = json.loads(optilab("verify", "--algo", "sgd,newton", "--json").stdout)["rows"]
        assert [(row["rule"], row["library"]) for row in rows] == [
            ("sgd", "torch"),
            ("sgd", "optax"),
            ("newton", "torch"),
            ("newton", "optax"),
            ("newton", "plain"),
        ]
        assert all(row["holds"] for row in rows)
        assert "all 3 comparisons hold" in optilab("verify", "--algo", "sgd,newton").stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["my_adam.py:Adam"], "name the optimizer to compare with"),
            (["my_adam.py:Adam", "--against", "adan", "--set", "algo.lrr=1"], 'did you mean "algo.lr"'),
            (["my_adam.py:Adma", "--against", "adam"], 'did you mean "Adam"'),
            (["nowhere.py:Adam", "--against", "adam"], "no file nowhere.py"),
            (["--against", "adam"], "only applies to a file"),
            (["--algo", "adamm"], 'did you mean "adam"'),
        ],
    )
    def test_mistakes(self, optilab, adam, arguments, said):
        adam("np.sqrt(s)")
        assert said in optilab("verify", *arguments, code=2).stderr


class TestExplain:
    def test_the_notebooks_second_step_of_adam(self, optilab):
        said = optilab("explain", "--algo", "adam", "--step", 2).stdout
        for line in (
            "g1 = 0.2*w1",
            "V <- beta1*V + (1 - beta1)*g",
            "    w1  0.9*(-0.1) + (1 - 0.9)*(-0.96000004) = -0.186000004",
            "w after step 2: (-4.60025478, -1.60082485)",
            "checked against the run, step by step: no difference",
        ):
            assert line in said

    def test_markdown_and_latex(self, optilab):
        assert "sign(-0.9998)" in optilab("explain", "--algo", "signsgd", "--step", 2).stdout
        assert r"\frac{-0.1}{1 - 0.9^{1}}" in optilab("explain", "--algo", "adam", "--format", "latex").stdout
        markdown = optilab("explain", "--algo", "momentum", "--format", "markdown").stdout
        assert r"$$V \leftarrow \beta \cdot V + \left(1 - \beta\right) \cdot g$$" in markdown
        latex = optilab("explain", "--algo", "rmsprop", "--format", "latex").stdout
        assert r"\sqrt{6.4 + 1 \cdot 10^{-6}} = " not in latex.split(r"\begin{align*}")[0]
        assert r"\frac{0.3 \cdot (-8)}{\sqrt{6.4 + 1 \cdot 10^{-6}}} = -1.05131678 \\" in latex
        inside = latex.split(r"\begin{align*}")[1].split(r"\end{align*}")[0]
        assert all(line.endswith(r"\\") for line in inside.strip().splitlines())

    def test_json_is_the_run(self, optilab):
        said = json.loads(optilab("explain", "--algo", "nadam", "--lr", 0.1, "--step", 9, "--json").stdout)
        path = json.loads(optilab("optimize", "--algo", "nadam", "--lr", 0.1, "--epochs", 9, "--json").stdout)
        assert said["result"] == path["results"][0]["points"][9]
        assert said["lines"][-1]["target"] == "w"

    def test_a_rule_without_a_formula_shows_its_state(self, optilab):
        said = optilab("explain", "--algo", "l-bfgs", "--step", 2).stdout
        assert "steps before: 1" in said
        assert "steps after: 2" in said

    def test_your_own_function(self, optilab):
        said = optilab("explain", "--algo", "sgd", "--function", "w1^2 + w1*w2", "--start", "1,-2").stdout
        assert "g1 = 2*w1 + w2" in said
        assert "2*1 + (-2) = 0" in said

    def test_a_rule_by_its_name_alone_and_several_steps_of_several(self, optilab):
        one = optilab("explain", "adam", "--step", 2).stdout
        assert one == optilab("explain", "--algo", "adam", "--step", 2).stdout
        done = optilab("explain", "sgd,adam", "--step", "2-3", "--json")
        results = json.loads(done.stdout)["results"]
        assert [(r["algo"], r["step"]) for r in results] == [("sgd", 2), ("sgd", 3), ("adam", 2), ("adam", 3)]
        paths = json.loads(optilab("optimize", "--algo", "sgd,adam", "--epochs", 3, "--json").stdout)["results"]
        assert [r["result"] for r in results] == [path["points"][step] for path in paths for step in (2, 3)]
        text = optilab("explain", "sgd,adam", "--step", "2-3").stdout
        assert text.endswith(optilab("explain", "adam", "--step", 3).stdout)
        assert text.count("no difference") == 4

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            ([], "needs an optimizer, as in: optilab explain adam --step 2"),
            (["adam", "--algo", "sgd"], "cannot be combined"),
            (["adm"], 'did you mean "adam"'),
            (
                ["adam", "--step", "0"],
                "--step: expected a step from 1 to 100,000, a range such as 1-3, or several such as 1,4-6, got '0'",
            ),
            (["adam", "--step", "3-1"], "--step: a range begins with its first step: write 1-3, not 3-1"),
            (["adam", "--step", "1.5"], "a range such as 1-3"),
            (["adam", "--step", "1-999"], "at most 100 steps at once, got 999"),
            (["sgd", "--function", "w1 $ 2"], "column 4"),
            (["sgd", "--set", "schedule=cosine"], "explain runs an optimizer as it is; remove schedule"),
            (["sgd", "--function", "w1^4 + w2", "--lr", 9, "--step", 50], "overflows"),
        ],
    )
    def test_mistakes(self, optilab, arguments, answer):
        assert answer in optilab("explain", *arguments, code=2).stderr


def test_optimize_takes_a_formula_and_the_regime(optilab):
    own = json.loads(
        optilab(
            "optimize", "--algo", "adam", "--function", "0.1*w1**2 + 2*w2**2", "--start", "-5,-2", "--json"
        ).stdout
    )
    ravine = json.loads(optilab("optimize", "--algo", "adam", "--json").stdout)
    for mine, theirs in zip(own["results"][0]["points"], ravine["results"][0]["points"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12, abs=1e-15)
    around = ("--set", "schedule=cosine", "--set", "clip_norm=1e0", "--set", "noise=0.1", "--set", "seed=3")
    said = optilab("optimize", "--algo", "sgd", *around).stdout
    assert "schedule cosine (final 0)   clip_norm 1   noise 0.1   seed 3" in said
    wrapped = optilab(
        "optimize", "--algo", "lookahead", "--set", "algo.base.name=sgd", "--set", "algo.base.lr=0.3"
    )
    assert "base sgd (lr 0.3)" in wrapped.stdout
    run = wrapped.stdout.splitlines()[-1]
    again = optilab("optimize", "--config", f"{run}/config.yaml")
    assert again.stdout.splitlines()[:-1] == wrapped.stdout.splitlines()[:-1]
