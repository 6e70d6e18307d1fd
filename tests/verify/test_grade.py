"""A teacher's grader: correct implementations pass, each wrong convention is named, other mistakes are errors."""

import os
import textwrap
from contextlib import nullcontext
from dataclasses import replace

import pytest

from optilab.errors import UsageError
from optilab.optimize import RULES, Regime
from optilab.optimize.own import kind_of
from optilab.verify.candidate import load
from optilab.verify.explain import forms_of
from optilab.verify.grade import grade
from optilab.verify.paths import SETTINGS, STEPS, PathComparison, hyperparameters, moved, starting_points
from optilab.verify.remote import Limits, TimeLimit, Warden
from optilab.verify.warden import descendants

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
}


def candidate(tmp_path, source, name):
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent(source))
    return load(f"{path}:{name}")


def adam(tmp_path, **changes):
    return candidate(tmp_path, ADAM_CLASS.format(**{**RIGHT, **changes}), "Adam")


def judge(found, name, regime=None, given=(), **settings):
    return grade(found, RULES[name](**settings), regime=regime or Regime(), given=given)


def test_a_correct_class_passes(tmp_path):
    verdict = judge(adam(tmp_path), "adam")
    assert verdict.equal
    assert verdict.settings["eps"] == SETTINGS["eps"][0]  # it takes eps: compared where the conventions show


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


DAMPENED = """
import torch
class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, momentum=0.9, dampening=0.0, foreach=None):
        super().__init__(params, dict(lr=lr, momentum=momentum, dampening=dampening))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                first = "V" not in self.state[p]
                V = torch.zeros_like(p) if first else self.state[p]["V"]
                V.mul_(group["momentum"]).add_(p.grad, alpha=1 - group["dampening"]{exempt})
                self.state[p]["V"] = V
                p.sub_(V, alpha=group["lr"])
"""


def test_a_hyperparameter_that_the_optimizer_lacks_is_said_to_be_unchecked(tmp_path):
    """Of momentum, which has no dampening, code that does it wrongly is equal; of PyTorch's own it is not."""
    wrong = DAMPENED.format(exempt="")
    verdict = judge(candidate(tmp_path, wrong, "Mine"), "momentum")
    assert (verdict.equal, verdict.unchecked) == (True, ("dampening",))
    torch_sgd = kind_of("torch.optim:SGD")()
    assert not grade(candidate(tmp_path, wrong, "Mine"), torch_sgd).equal
    right = DAMPENED.format(exempt=" * (not first and group['momentum'] > 0)")
    assert grade(candidate(tmp_path, right, "Mine"), torch_sgd).equal


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
    ("v", "s", "moment"), [("V / (1 - beta1**t)", "S", "S"), ("V", "S / (1 - beta2**t)", "V")]
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
    assert verdict.explanation == (f"no bias correction of {moment}",)


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
            from optilab.optimize.rules.adam import Adam as Mine
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


@pytest.mark.parametrize("point", ["w * float('nan')", "w + 1e31"])
def test_code_that_never_returns_a_number_is_not_told_of_slips_that_divide_by_zero(tmp_path, point):
    found = candidate(tmp_path, f"def rule(w, g): return {point}", "rule")
    for name in ("sgd", "momentum", "rmsprop", "adagrad", "adam"):
        assert judge(found, name).explanation == ()
    assert judge(adam(tmp_path, first=0), "adam").explanation == ()


def test_an_unknown_difference_has_no_explanation(tmp_path):
    verdict = judge(candidate(tmp_path, "def mine(w, g, lr): return w - 0.5 * lr * g", "mine"), "adam")
    assert not verdict.equal
    assert verdict.explanation == ()


@pytest.mark.parametrize(
    ("source", "spec", "said"),
    [
        ("def f(w, g): return w", "mine.py:h", "it has f"),
        ("def momentum(w, g): return w", "mine.py:momentun", 'did you mean "momentum"'),
        ("def f(w, g): return w", "mine.py", "the name in the file is missing; write "),
        ("def f(w, g): return w", "other.py:f", "no file"),
        ("def f(w, g) return w", "mine.py:f", "mine.py:1: SyntaxError"),
        ("def f(w, g):\n    return w / nothing", "mine.py:f", "step 1: line 2: NameError"),
        ("def f(w, g): return w[0]", "mine.py:f", "shape ()"),
        ("class f: pass", "mine.py:f", "no method update"),
        (
            "def f(w): return w",
            "mine.py:f",
            "needs at least two parameters, w (the point) and g (its gradient); it has 1",
        ),
        ("def f(w, g, V, S): return w, V", "mine.py:f", "it takes the states V, S"),
        ("import sys\nsys.exit(3)", "mine.py:f", "mine.py:2: SystemExit"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path, source, spec, said):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(UsageError) as error:
        judge(load(str(tmp_path / spec)), "sgd")
    assert said in str(error.value)


MOMENTS = """
import numpy as np

class Mine:
    def __init__(self, lr, beta1, beta2, eps):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.V = self.S = self.last = 0.0
        self.t = 0

    def update(self, w, g):
        {start}
        self.t += 1
        beta1, beta2, V, S = self.beta1, self.beta2, self.V, self.S
        self.V = beta1 * self.V + (1 - beta1) * g
        self.S = beta2 * self.S + (1 - beta2) * {square}
        {moments}
        v, s = V / (1 - beta1**self.t), S / (1 - beta2**self.t)
        return w {sign} self.lr * v / ({root}(s) + self.eps)
"""
NO_SLIP = {"start": "", "square": "g**2", "moments": "V, S = self.V, self.S", "sign": "-", "root": "np.sqrt"}
SLIPS = {
    "uphill": ({"sign": "+"}, "uphill"),
    "no square": ({"square": "np.abs(g)"}, "the square is missing"),
    "no root": ({"root": ""}, "the root of s is missing"),
    "swapped": ({"start": "self.beta1, self.beta2 = sorted((self.beta1, self.beta2))[::-1]"}, "swapped"),
    "late velocity": ({"moments": "S = self.S"}, "V is used before it is updated"),
    "late second": ({"moments": "V = self.V"}, "S is used before it is updated"),
    "stale gradient": ({"start": "g, self.last = (self.last if self.t else g), g"}, "previous point"),
    "t from 2": ({"start": "self.t += not self.t"}, "t counted from 2"),
}


def test_the_class_of_slips_is_right_without_one(tmp_path):
    assert judge(candidate(tmp_path, MOMENTS.format(**NO_SLIP), "Mine"), "adam").equal


@pytest.mark.parametrize("slip", SLIPS)
def test_each_slip_is_named(tmp_path, slip):
    changes, words = SLIPS[slip]
    verdict = judge(candidate(tmp_path, MOMENTS.format(**{**NO_SLIP, **changes}), "Mine"), "adam")
    (reason,) = verdict.explanation
    assert words in reason


RMSPROP = """
import numpy as np
constant = {constant}
def rmsprop(w, g, S, lr, decay=0.9):
    S = decay * S + (1 - decay) * g**2
    return w - lr * g / np.sqrt(S + constant), S
"""


@pytest.mark.parametrize(
    ("constant", "setting"), [("1e-6", "1e-06"), ("3.7e-5", "3.7e-05"), ("2.0**-20", "9.53674e-07")]
)
def test_a_constant_that_is_written_in_is_found(tmp_path, constant, setting):
    """From the file's numbers, or by a fit where the file has an expression."""
    verdict = judge(candidate(tmp_path, RMSPROP.format(constant=constant), "rmsprop"), "rmsprop")
    assert verdict.equal_with == (f"algo.eps={setting}",)
    assert "eps" in verdict.fixed


def test_the_published_exercise_is_right_too(tmp_path):
    found = candidate(tmp_path, RMSPROP.format(constant="1e-6"), "rmsprop")
    exercise = RULES["rmsprop"](lr=0.3, eps=1e-6)
    verdict = grade(found, RULES["rmsprop"](), other=exercise)
    assert verdict.equal
    assert "eps 1e-06" in verdict.reading


def test_its_own_weight_decay_is_not_replaced(tmp_path):
    source = "def mine(w, g, lr, weight_decay=0.05): return w - lr * (g + weight_decay * w)"
    verdict = judge(candidate(tmp_path, source, "mine"), "sgd")
    assert any("a weight decay of its own" in reason for reason in verdict.explanation), verdict
    assert judge(candidate(tmp_path, source, "mine"), "sgd", Regime(weight_decay=0.1)).equal


def test_another_rule_is_recognised(tmp_path):
    source = "def mine(w, g, V, lr, beta):\n    V = beta*V + g\n    return w - lr*(g + beta*V), V"
    assert judge(candidate(tmp_path, source, "mine"), "momentum").explanation == ("it is nesterov, form classic",)


def test_a_function_of_its_own_is_recognised(tmp_path):
    source = "import numpy as np\ndef mine(w, g, lr): return w - lr * np.array([0.2 * w[0], 4 * w[1]])"
    (reason,) = judge(candidate(tmp_path, source, "mine"), "sgd").explanation
    assert "does not use the gradient" in reason


SAME = {("amsgrad", "paper"), ("yogi", "both"), ("yogi", "second")}
"""Forms that are one rule: without bias correction, the place of eps after it has no meaning."""


@pytest.mark.parametrize(
    "name", [n for n, k in RULES.items() if k.weights != "matrices" and len(list(forms_of(k()))) > 1]
)
def test_no_form_passes_as_another(name):
    """On the functions and starts that a candidate is compared on, with the settings it is compared with."""
    usual = RULES[name]()
    forms = list(forms_of(usual))
    compared = [
        [
            PathComparison(moved(replace(usual, **form), list(hyperparameters(usual)), n), place, STEPS, Regime())
            for n, place in enumerate(starting_points())
        ]
        for form in forms
    ]
    alike = {
        (name, next(iter(form.values())))
        for form, own in zip(forms, compared, strict=True)
        for other in compared
        if other is not own and all(t.differs(o.path) is None for t, o in zip(own, other, strict=True))
    }
    assert alike == {pair for pair in SAME if pair[0] == name}


def test_adopt_without_its_clip_is_not_adopt(tmp_path):
    """One function and 30 steps once took them for equal."""
    source = """
    import numpy as np
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
    assert judge(candidate(tmp_path, source, "Adopt"), "adopt", clip=False).equal
    assert judge(candidate(tmp_path, source, "Adopt"), "adopt").explanation == ("clip false",)


@pytest.fixture(scope="module")
def warden():
    with Warden() as made:
        yield made


class TestAnotherProcess:
    @pytest.mark.parametrize(
        ("source", "error", "words"),
        [
            ("def f(w, g, lr):\n    while True: pass", TimeLimit, "step 1 took more than 0.3 s"),
            (
                "def f(w, g, lr, t):\n while t == 3:\n  try: sum(range(10**9))\n  except: pass\n return w",
                TimeLimit,
                "step 3 took",
            ),
            ("import time\ndef f(w, g, lr): time.sleep(60)", TimeLimit, "step 1 took more than 0.3 s"),
            ("def f(w, g, lr):\n sum(range(3_000_000))\n return w - lr*g", TimeLimit, "took more than 2.8 s"),
            ("while True: pass", TimeLimit, "loading the file took more than 1 s"),
            ("import os\ndef f(w, g, lr): os._exit(3)", UsageError, "ended the process (exit status 3)"),
            ("import os\ndef f(w, g, lr): os.kill(os.getpid(), 9)", UsageError, "ended the process (signal 9)"),
            (
                "import os, time\ndef f(w, g, lr): os.kill(os.getppid(), 9), time.sleep(60)",
                UsageError,
                "ended the process that watches it",
            ),
            (
                "class X(BaseException): pass\ndef f(w, g): raise X('\\x1b[31m')",
                UsageError,
                "step 1: line 2: X: \\u001b",
            ),
            ("def f(w, g): raise GeneratorExit", UsageError, "step 1: line 1: GeneratorExit"),
            ("def f(w, g): raise KeyboardInterrupt", UsageError, "step 1: line 1: KeyboardInterrupt"),
            ("raise KeyboardInterrupt", UsageError, "KeyboardInterrupt"),
            ("def f(w, g): raise ValueError('A' * 10**7)", UsageError, "ValueError: AAA"),
        ],
    )
    def test_it_costs_a_sentence(self, warden, tmp_path, source, error, words):
        path = tmp_path / "mine.py"
        path.write_text(source)
        limits = Limits(0.3, loading=1.0)
        with (
            pytest.raises(error) as raised,
            warden.running(path, "f", path.name, limits, isolated=False) as running,
        ):
            judge(running.load(), "sgd")
        assert words in str(raised.value)
        assert len(str(raised.value)) < 2000

    def test_the_verdict_is_that_of_this_process(self, warden, tmp_path):
        found = adam(tmp_path)
        path = tmp_path / "mine.py"
        with warden.running(path, "Adam", path.name, Limits(10.0), isolated=False) as running:
            assert judge(running.load(), "adam") == judge(found, "adam")

    def test_what_it_leaves_ends_with_it(self, warden, tmp_path):
        """A grandchild in a session of its own, whose parent has ended."""
        path = tmp_path / "mine.py"
        path.write_text(
            "import os, pathlib, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n"
            "  pathlib.Path('mine.pid').write_text(str(os.getpid()))\n  time.sleep(600)\n os._exit(0)\n"
            "os.wait()\nwhile not os.path.exists('mine.pid'): pass\n"
            "def f(w, g, lr=0.01): return w - lr * g\n"
        )
        with warden.running(path, "f", path.name, Limits(10.0)) as running:
            assert judge(running.load(), "sgd").equal
            left = int((tmp_path / "mine.pid").read_text())
            assert left in descendants(os.getpid())
        assert left not in descendants(os.getpid())

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (
                "import os, time\nfor _ in range(80):\n if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
                "processes",
            ),
            ("open('big', 'wb').truncate(15 << 20)\n", ""),
            (
                "import time\nfor n in range(9): open(str(n), 'wb').truncate(15 << 20)\ntime.sleep(60)",
                "wrote more than 64 MiB",
            ),
            (
                "import os, time\nfor _ in range(4): os.fork()\n"
                "big = bytearray(b'x') * (60 << 20)\ntime.sleep(60)",
                "its processes used more than 600 MiB",
            ),
        ],
        ids=["processes", "a file", "files", "memory"],
    )
    def test_limits_are_those_of_all_its_processes(self, warden, tmp_path, source, said):
        path = tmp_path / "mine.py"
        path.write_text(source + "\ndef f(w, g, lr=0.01): return w - lr * g\n")
        expected = pytest.raises(UsageError, match=said) if said else nullcontext()
        with expected, warden.running(path, "f", path.name, Limits(10.0, memory=600)) as running:
            assert judge(running.load(), "sgd").equal
