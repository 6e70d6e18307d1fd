"""Files next to the rules on weight matrices: equations written a second time are equal, every slip differs."""

import json
import textwrap

import pytest

from optilab import Lab
from optilab.optimize import RULES
from optilab.verify.candidate import load
from optilab.verify.grade import grade

SOURCE = """
import numpy as np

class Muon:
    def __init__(self, lr=0.02, beta=0.95, ns_steps=5, eps=1e-7, weight_decay=0.0):
        self.lr, self.beta, self.ns_steps, self.eps, self.decay = lr, beta, ns_steps, eps, weight_decay
        self.V = 0

    def update(self, w, g):
        self.V = self.beta * self.V + (1 - self.beta) * g
        U = self.beta * self.V + (1 - self.beta) * g
        X = U / max(np.linalg.norm(U), self.eps)
        for _ in range(self.ns_steps):
            A = X @ X.T
            X = 3.4445 * X + (-4.7750 * A + 2.0315 * A @ A) @ X
        m, n = w.shape
        return w - self.lr * (max(1, m / n) ** 0.5 * X + self.decay * w)

class Adafactor:
    def __init__(self, lr=0.01, decay_exponent=0.8, eps=1e-30, eps_weights=1e-3, clip=1.0):
        self.lr, self.p, self.eps, self.smallest, self.d = lr, decay_exponent, eps, eps_weights, clip
        self.t = self.R = self.C = 0

    def update(self, w, g):
        self.t += 1
        share, G = self.t**-self.p, g * g + self.eps
        self.R = (1 - share) * self.R + share * (G.mean(1, keepdims=True) if w.ndim == 2 else G)
        self.C = (1 - share) * self.C + share * (G.mean(0, keepdims=True) if w.ndim == 2 else 0)
        U = g / np.sqrt(self.R * self.C / self.R.mean() if w.ndim == 2 else self.R)
        U = U / max(1, np.sqrt((U * U).mean()) / self.d)
        return w - min(self.lr, self.t**-0.5) * max(self.smallest, np.sqrt((w * w).mean())) * U

def power(A, exponent):
    values, vectors = np.linalg.eigh(A)
    return vectors * values**exponent @ vectors.T

def shampoo(w, g, state, lr=0.1, eps=1e-4):
    L = state.get("L", eps * np.eye(len(w))) + g @ g.T
    R = state.get("R", eps * np.eye(w.shape[1])) + g.T @ g
    return w - lr * power(L, -0.25) @ g @ power(R, -0.25), {"L": L, "R": R}

class SOAP:
    def __init__(self, lr=0.003, beta1=0.95, beta2=0.95, eps=1e-8, interval=10):
        self.lr, self.beta1, self.beta2, self.eps, self.interval = lr, beta1, beta2, eps, interval
        self.t = self.L = self.R = self.V = self.S = 0

    def update(self, w, g):
        self.L = self.beta2 * self.L + (1 - self.beta2) * g @ g.T
        self.R = self.beta2 * self.R + (1 - self.beta2) * g.T @ g
        if self.t == 0:
            self.t, self.P, self.Q = 1, *(np.linalg.eigh(A)[1][:, ::-1] for A in (self.L, self.R))
            return w
        self.V = self.beta1 * self.V + (1 - self.beta1) * g
        self.S = self.beta2 * self.S + (1 - self.beta2) * (self.P.T @ g @ self.Q) ** 2
        rate = self.lr * (1 - self.beta2**self.t) ** 0.5 / (1 - self.beta1**self.t)
        w = w - rate * self.P @ (self.P.T @ self.V @ self.Q / (np.sqrt(self.S) + self.eps)) @ self.Q.T
        if self.t % self.interval == 0:
            rows, self.P = self.turned(self.L, self.P)
            columns, self.Q = self.turned(self.R, self.Q)
            self.S = self.S[rows][:, columns]
        self.t += 1
        return w

    def turned(self, A, P):
        order = np.argsort(-np.diag(P.T @ A @ P))
        return order, np.linalg.qr((A @ P[:, order]).astype(np.float32))[0].astype(float)
"""
NAMES = {"muon": "Muon", "adafactor": "Adafactor", "shampoo": "shampoo", "soap": "SOAP"}


def judged(tmp_path, against, old="", new="", **settings):
    assert SOURCE.count(old) >= 1
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.replace(old, new) if old else SOURCE)
    full = {"precision": "full"} if against == "muon" else {}
    return grade(load(f"{path}:{NAMES[against]}"), RULES[against](**full, **settings))


@pytest.mark.parametrize("name", NAMES)
def test_its_equations_written_again_are_the_rule(tmp_path, name):
    verdict = judged(tmp_path, name)
    assert verdict.equal, verdict
    assert verdict.functions == ("a matrix 5x3", "a matrix 3x4", "a matrix 4x4")


def test_what_code_does_on_a_bias_is_said(tmp_path):
    assert judged(tmp_path, "adafactor").on_biases == ""
    assert "fails: " in judged(tmp_path, "shampoo").on_biases
    wrong = judged(tmp_path, "adafactor", "if w.ndim == 2 else self.R)", "if w.ndim == 2 else self.R + 0.1)")
    assert wrong.equal
    assert wrong.on_biases == "differs from step 1 on"
    assert judged(tmp_path, "muon").on_biases == ""  # which it leaves to `others`


def test_a_limit_without_effect_is_not_said_to_be_a_number_of_the_file(tmp_path):
    """Any large clip is the code."""
    verdict = judged(tmp_path, "adafactor", "self.smallest, self.d = lr, decay_exponent, eps, eps_weights, clip",
                     "self.smallest, self.d = lr, decay_exponent, eps, eps_weights, 1e9")  # fmt: skip
    assert verdict.explanation == ("clip is taken and not used: there is no such limit",)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("muon", "max(1, m / n)", "max(1, n / m)"),
        ("muon", "max(1, m / n) ** 0.5 * X", "X"),
        ("muon", "self.decay * w", "self.decay * g"),
        ("adafactor", "min(self.lr, self.t**-0.5)", "self.lr"),
        ("adafactor", "G.mean(0", "G.sum(0"),
        ("adafactor", "max(1, ", "min(1, "),
        ("shampoo", "-0.25", "-0.5"),
        ("shampoo", 'state.get("R", eps', 'state.get("R", lr'),
        ("soap", "self.S = self.S[rows][:, columns]", ""),
        ("soap", "(1 - self.beta2) * (self.P", "(1 - self.beta1) * (self.P"),
    ],
)
def test_a_slip_differs(tmp_path, name, old, new):
    assert not judged(tmp_path, name, old, new).equal


def test_a_form_of_the_rule_is_named(tmp_path):
    verdict = judged(tmp_path, "muon", "self.beta * self.V + (1 - self.beta) * g\n        X", "self.V\n        X")
    assert verdict.explanation == ("nesterov false",)
    verdict = judged(tmp_path, "adafactor", "min(self.lr, self.t**-0.5)", "self.lr")
    assert verdict.equal_with == ("algo.step_size=constant",)


def test_the_optimizer_of_torch_is_muon_in_bfloat16(tmp_path):
    (tmp_path / "own.py").write_text("import torch\n\nclass Muon(torch.optim.Muon):\n    pass\n")
    verdict = Lab().verify(f"{tmp_path / 'own.py'}:Muon", against="muon", epochs=20).verdict
    assert verdict.equal
    assert verdict.reading == "the iteration as on tensors (precision bfloat16)"


def test_a_file_is_graded_in_its_process_against_a_matrix_rule(tmp_path, optilab):
    wrong = SOURCE.replace("max(1, m / n)", "max(1, n / m)")
    for name, source in (("right", SOURCE), ("wrong", wrong)):
        (tmp_path / f"{name}.py").write_text(source)
    arguments = ("--against", "muon", "--json")
    document = json.loads(optilab("verify", f"{tmp_path}/*.py:Muon", *arguments, code=9).stdout)
    assert [row["verdict"] for row in document["submissions"]] == ["equal", "differs"]
    text = optilab("verify", f"{tmp_path}/wrong.py:Muon", "--against", "muon", code=9).stdout
    assert "differs from step 1 on" in text
    assert "optilab explain" not in text  # which works on functions of vectors


def test_settings_that_a_matrix_has_not_are_refused(tmp_path, optilab):
    (tmp_path / "own.py").write_text(textwrap.dedent(SOURCE))
    for options, key in (
        (["--function", "ravine"], "function"),
        (["--set", "clip_norm=1"], "clip_norm"),
        (
            ["--set", "weight_decay=0.1", "--set", "weight_decay_form=coupled"],
            "weight_decay, which is not its own",
        ),
    ):
        error = optilab("verify", f"{tmp_path / 'own.py'}:Muon", "--against", "muon", *options, code=2).stderr
        assert f"leave out {key}" in error
