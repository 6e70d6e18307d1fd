"""Code next to a rule: right code passes, each slip and each convention is named, and no other is."""

import json
import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from optilab.errors import UsageError
from optilab.lab import Lab
from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.user_rule import rule_class
from optilab.verify.candidate import STEPS, load
from optilab.verify.cause import find_cause, forms_of
from optilab.verify.compare import (
    SETTINGS,
    PathComparison,
    ProblemInstance,
    compare,
    hyperparameters,
    problems,
    with_distinct_settings,
)
from optilab.verify.edits import edits, named_edits

TABLE = yaml.safe_load((Path(__file__).parent / "slips.yaml").read_text())
CODE = {name: entry["code"] for name, entry in TABLE.items()}
SLIPS = [(name, *row) for name, entry in TABLE.items() for row in entry["slips"]]


@pytest.fixture
def judged(tmp_path):
    """The verdict on the last class or function of a source next to a rule."""

    def judge(source, against, name=None, **options):
        source = f"import numpy as np\n{dedent(source)}"
        (tmp_path / "mine.py").write_text(source)
        name = name or re.findall(r"^(?:class|def) (\w+)", source, re.MULTILINE)[-1]
        if isinstance(against, str):
            against = RULES[against](**{"precision": "full"} if against == "muon" else {})
        return compare(load(f"{tmp_path / 'mine.py'}:{name}"), against, explain=find_cause, **options)

    return judge


# --- the table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_right_code_is_equal(judged, name):
    assert judged(CODE[name], name).equal


@pytest.mark.parametrize(("name", "changes", "words"), [(name, row, row.pop()) for name, *row in SLIPS], ids=str)
def test_slip_is_found_and_named(judged, name, changes, words):
    source = CODE[name]
    for right, wrong in zip(changes[::2], changes[1::2], strict=True):
        assert right in source
        source = source.replace(right, wrong)
    verdict = judged(source, name)
    explained = "; ".join([*verdict.explanation, *(f"with {setting}" for setting in verdict.equal_with)])
    assert not verdict.equal
    assert verdict.point != verdict.expected
    assert words in explained if words not in ("none", "differs") else not explained


@pytest.mark.parametrize(
    ("start", "lr", "reason"),
    [((0.0, 0.0), 0.1, "does not move"), ((1.0, 1.0), 1e31, "leaves the numbers in its first step")],
)
def test_what_shows_nothing_is_not_equal(judged, start, lr, reason):
    problem = ProblemInstance(OBJECTIVES["ravine"](), start)
    with pytest.raises(UsageError, match=f"signsgd {reason} on ravine from .*: there is nothing to compare"):
        judged(
            "import numpy as np\ndef mine(w, g, lr): return w - lr*np.sign(g)",
            RULES["signsgd"](lr=lr),
            on=[problem],
            chosen=["lr"],
        )


# --- interfaces, forms and settings ------------------------------------------------------------------------

COUNTING = """
def adam(w, grad, m, v, {}, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    t = t + 1
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    w = w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return w, m, v, t
"""
NO_POINTS = {
    "complex numbers": "return w - lr * (g + 0j)",
    "text": "return [str(x) for x in w - lr * g]",
    "masked numbers": "return np.ma.masked_array(w - lr * g, mask=[True, False])",
    "nothing": "w - lr * g",
    "an array of shape (1,)": "return (w - lr * g)[:1]",
}


@pytest.mark.parametrize(
    ("source", "against"),
    [
        (
            """
            def step(w, g, state, learning_rate=0.1, momentum=0.9):
                state["V"] = momentum * state.get("V", 0) + g
                return w - learning_rate * state["V"], state
            """,
            "momentum",
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
            "sgd",
        ),
        (
            """
            import torch
            class Mine(torch.optim.RMSprop):
                def __init__(self, params, lr, alpha, eps):
                    super().__init__(params, lr=lr, alpha=alpha, eps=eps)
            """,
            RULES["rmsprop"](eps_placement="outside"),
        ),
        (
            """
            from dataclasses import dataclass, field

            class Base:
                __slots__ = "__V"
                def average(self, beta, g):
                    self.__V = beta * getattr(self, "_Base__V", 0) + g
                    return self.__V

            @dataclass(slots=True)
            class Mine(Base):
                lr: float
                beta: float
                def update(self, w, g):
                    return w - self.lr * self.average(self.beta, g)
            """,
            "momentum",
        ),
        (COUNTING.format("t"), "adam"),
        (COUNTING.format("t=0"), "adam"),
        (COUNTING.format("t, clip=0, l1=0"), "adam"),
        (COUNTING.replace("t = t + 1", "").replace("v, t\n", "v, t + 1\n").format("t=1"), "adam"),
    ],
    ids=[
        "state dict",
        "dataclass",
        "torch with other names",
        "slots",
        "t in the state",
        "t from a default",
        "t among defaults",
        "t from 1",
    ],
)
def test_accepted_interfaces(judged, capsys, source, against):
    assert judged(source, against, name="Mine" if "Mine" in source else None).equal
    assert capsys.readouterr().out == ""  # what a candidate prints is no part of a JSON document


@pytest.mark.parametrize("words", NO_POINTS)
def test_what_is_no_point_is_refused(judged, words):
    with pytest.raises(
        UsageError, match=re.escape(f"returned {words}; expected the new w: end it with return w, of")
    ):
        judged(f"def mine(w, g, lr):\n    {NO_POINTS[words]}\n", "sgd")


def test_state_in_a_list_is_refused(judged):
    with pytest.raises(UsageError, match="returned a list, not a tuple: end it with return w, V"):
        judged("def mine(w, g, lr, V): return [w - lr * g, V]", "sgd")


def test_optimizer_of_torch_is_muon_in_bfloat16(tmp_path):
    (tmp_path / "own.py").write_text("import torch\n\nclass Muon(torch.optim.Muon):\n    pass\n")
    verdict = Lab().verify(f"{tmp_path / 'own.py'}:Muon", against="muon", epochs=20).verdict
    assert verdict.equal
    assert verdict.reading == "the iteration as on tensors (precision bfloat16)"


DAMPENED = """
def mine(w, g, V, lr=0.1, momentum=0.9, dampening=0.0):
    V = momentum * V + (1 - dampening) * g
    return w - lr * V, V
"""


def test_hyperparameter_without_counterpart_is_unchecked(judged):
    """Code with wrong dampening is equal to momentum, which has none, but not to PyTorch's SGD."""
    verdict = judged(DAMPENED, "momentum")
    assert (verdict.equal, verdict.unchecked) == (True, ("dampening",))
    assert not judged(DAMPENED, rule_class("torch.optim:SGD")()).equal


def test_numbers_written_in_are_kept(judged):
    source = CODE["rmsprop"].replace("S + eps", "S + 1e-6").replace(", eps=1e-8", "")
    assert "eps" in judged(source, "rmsprop").fixed
    published = judged(source, "rmsprop", other=RULES["rmsprop"](lr=0.3, eps=1e-6))
    assert published.equal
    assert "eps 1e-06" in published.reading


def test_settings_of_the_exercise_open_no_door(judged):
    """beta 0.5 cannot tell beta from 1 - beta."""
    exercise = RULES["momentum"](lr=0.6, beta=0.5, form="ema")
    for line, equal in (("beta * V + (1 - beta) * g", True), ("(1 - beta) * V + beta * g", False)):
        source = f"def f(w, g, V, lr, beta):\n    V = {line}\n    return w - lr * V, V\n"
        assert judged(source, "momentum", other=exercise).equal is equal


# --- false accusations -------------------------------------------------------------------------------------


OWN_DECAY = "def mine(w, g, lr, weight_decay=0.05): return w - lr * (g + weight_decay * w)"
ADAFACTOR = """
def f(w, g, R, C, t, lr=0.01, decay_exponent=0.8, eps=1e-30, eps_weights=1e-3):
    b, q = 1 - t**-decay_exponent, g**2 + eps
    R = b * R + (1 - b) * q.mean(1, keepdims=True)
    C = b * C + (1 - b) * q.mean(0, keepdims=True)
    k = max(eps_weights, np.sqrt(np.mean(w**2))) * min(lr, t**-0.5)
    return w - k * g / np.sqrt(R * C / R.mean()), R, C
"""
SOPHIA = """
def f(w, g, V, lr=1e-3, beta1=0.96):
    V = beta1 * V + (1 - beta1) * g
    return w - lr * np.clip(V, -1, 1), V
"""
ADOPT = """
class Adopt:
    def __init__(self, lr, beta1, beta2, eps):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.V, self.S = 0.0, None
    def update(self, w, g):
        if self.S is None:
            self.S = g**2
            return w
        self.V = self.beta1 * self.V + (1 - self.beta1) * g / np.maximum(np.sqrt(self.S), self.eps)
        self.S = self.beta2 * self.S + (1 - self.beta2) * g**2
        return w - self.lr * self.V
"""
TORCH = "import torch\nclass Mine(torch.optim.{}): pass"
IN_GRADIENT = "weight decay in the gradient, not in the step"
VERDICTS = {  # code, rule, what explains it; None: it is equal
    "a form of torch": (TORCH.format("NAdam"), RULES["nadam"](form="constant"), "form schedule"),
    "a decay of torch": (TORCH.format("Adam"), RULES["adamw"](weight_decay=0.1), IN_GRADIENT),
    "a decay of its own": (OWN_DECAY, "sgd", "a weight decay of its own"),
    # any number that stands in the code and never acts would do: here that of the square
    "a limit left out": (ADAFACTOR, "adafactor", "clip is missing"),
    "a curvature left out": (SOPHIA, "sophia", "your code acts as u = clip(V, -1, 1)"),
    # one function and 30 steps once took them for equal
    "a clip left out": (ADOPT, "adopt", "clip false"),
    "no clip": (ADOPT, RULES["adopt"](clip=False), None),
    "no numbers": ("def rule(w, g): return w * float('nan')", "adam", ""),
    "too large": ("def rule(w, g): return w + 1e31", "momentum", ""),
}


@pytest.mark.parametrize("what", VERDICTS)
def test_verdict_and_its_explanation(judged, what):
    source, against, words = VERDICTS[what]
    verdict = judged(source, against)
    assert verdict.equal is (words is None)
    assert words is None or words in "; ".join(verdict.explanation)
    assert (verdict.explanation == ()) is (not words)


def test_first_value_that_is_off(judged):
    """The first statement that differs is reported where no edit of the formula explains a difference."""
    source = CODE["rmsprop"].replace("g**2", "(g**2 + np.sin(g) / 9)")
    verdict = judged(source, "rmsprop")
    assert (verdict.equal, verdict.explanation) == (False, ())
    assert re.match(r"the first value that is off is S at step 1: .*, in: S <- decay\*S", verdict.statement)
    assert judged(re.sub(r"\bS\b", "moment", source), "rmsprop").statement == ""


IN_PLACE = """
class Mine:
    def __init__(self, lr): self.lr, self.V = lr, 0.0
    def update(self, w, g):
        self.V = 0.83 * self.V + g
        {}
"""


def test_update_in_place_without_return(judged):
    """Also where a step is zero; but a missing `return` is no step of zero."""
    rule = RULES["momentum"](beta=0.83)
    assert judged(IN_PLACE.format("w -= self.lr * self.V"), rule).equal
    assert not judged(IN_PLACE.format("w -= self.lr * g"), rule).equal
    with pytest.raises(UsageError, match=r"step 1: .*returned nothing"):
        judged(IN_PLACE.format("w - self.lr * self.V"), rule)


def test_state_that_all_objects_share(judged):
    source = re.sub(r"self\.(V|S|t)\b", r"Adam.\1", CODE["adam"])
    source = source.replace("        Adam.V, Adam.S, Adam.t = 0.0, 0.0, 0\n", "")
    source = source.replace("    def __init__", "    V, S, t = 0.0, 0.0, 0\n    def __init__")
    assert source.count("Adam.") > 6
    words = "; ".join(judged(source, "adam").explanation)
    assert "another path when it starts again from the same point" in words


# --- weight matrices ---------------------------------------------------------------------------------------


def test_files_are_graded_against_matrix_rules(tmp_path, optilab):
    for name, source in (
        ("right", CODE["muon"]),
        ("wrong", CODE["muon"].replace("max(1, m / n)", "max(1, n / m)")),
    ):
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n{source}")
    done = optilab("grade", f"{tmp_path}/*.py:Muon", "--against", "muon", "--json", code=9)
    assert [row["verdict"] for row in json.loads(done.stdout)["submissions"]] == ["equal", "differs"]


# --- what the comparison stands on -------------------------------------------------------------------------

SAME = {("amsgrad", "paper"), ("yogi", "both"), ("yogi", "second")}
"""Forms that are one rule: without bias correction, the place of eps after it has no meaning."""


@pytest.mark.parametrize(
    "name", [n for n, k in RULES.items() if k.weights != "matrices" and len(list(forms_of(k()))) > 1]
)
def test_no_form_passes_as_another(name):
    """On the functions and starts that a candidate is compared on, with the settings it is compared with."""
    usual = RULES[name]()
    settings = list(hyperparameters(usual))
    forms = list(forms_of(usual))
    compared = [
        [
            PathComparison(with_distinct_settings(replace(usual, **form), settings, n), problem, STEPS)
            for n, problem in enumerate(problems())
        ]
        for form in forms
    ]
    alike = {
        (name, next(iter(form.values())))
        for form, paths in zip(forms, compared, strict=True)
        for other in compared
        if other is not paths and all(a.differs(b.path) is None for a, b in zip(paths, other, strict=True))
    }
    assert alike == {pair for pair in SAME if pair[0] == name}


def test_settings_coincide_nowhere():
    for number in range(3):
        values = [choice[number] for choice in SETTINGS.values() if isinstance(choice[number], float)]
        assert len(set(values)) == len(values)
        assert not set(values) & {0.0, 0.5, 1.0}
        assert min(abs(a + b - 1) for a in values for b in values) > 1e-4


@pytest.mark.parametrize("name", RULES)
def test_every_hyperparameter_has_three_settings(name):
    for key, value in hyperparameters(RULES[name]()).items():
        if not isinstance(value, bool):
            assert len({*SETTINGS[key.rpartition(".")[2]], value}) == 4


@pytest.mark.parametrize("name", [n for n in RULES if RULES[n].text])
def test_every_rule_has_edits(name):
    formula, settings = RULES[name]().program.statements, RULES[name]().program.settings
    made = [edit.formula for edit in edits(formula, settings, [0.3])]
    assert len(made) > 10 * len([*named_edits(formula, settings)]) ** 0.5
    assert len({*made, formula}) == len(made) + 1  # each is another formula, and none twice
