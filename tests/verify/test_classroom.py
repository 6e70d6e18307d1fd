"""Grading many files: which files have a row, what it says, what students read.

How lines are refused: tests/recorded/transcripts/refused-verify.txt.
"""

import csv
import io
import json
import os
from pathlib import Path

from optilab.verify.sandbox import Sandbox
from optilab.verify.submissions import grade_file

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
CONTINUED = """
def odd(t):
    '''It's the parity:
    % 2'''
    %time
    return (t  # :-)
        % 2) + t \\
        % 2
assert (odd(3), odd.__doc__[-3:]) == (2, "% 2")
"""
WRONG = "def SGD(w, g, lr=0.01):\n    return w + 3 * lr * g * g\n"


def verdicts(done):
    return [(row["submission"], row["verdict"]) for row in json.loads(done.stdout)["submissions"]]


def test_names_are_no_options_no_patterns_and_no_formulas(optilab, tmp_path):
    names = [
        "adam (2).py",
        "adam[1].py",
        "--help.py",
        "a\nb.py",
        "a\x1b[31m.py",
        "a:b.py",
        "=cmd().py",
        "random.py",
    ]
    for name in names:
        (tmp_path / name).write_text(f"import random\n{RULE}")
    done = optilab("grade", "*.py:SGD", "--against", "sgd", "--json")
    assert verdicts(done) == [(name, "equal") for name in sorted(names)]
    assert json.loads(optilab("verify", "adam[1].py:SGD", "--against", "sgd", "--json").stdout)["equal"]
    cells = list(
        csv.reader(io.StringIO(optilab("grade", "=cmd().py:SGD", "--against", "sgd", "--format", "csv").stdout))
    )
    assert {row[0] for row in cells if "cmd" in row[0]} == {"'=cmd().py"}


def test_what_is_no_file_has_a_row(optilab, tmp_path):
    (tmp_path / "a.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.py")
    (tmp_path / "c.py").symlink_to("/dev/zero")
    (tmp_path / "d.py").mkdir()
    (tmp_path / "e.py").symlink_to("e.py")
    (tmp_path / "f.py").write_text("#" * (2 << 20))
    (tmp_path / "g.ipynb").write_text("[1]")
    done = optilab("grade", "*.py:SGD", "g.ipynb", "--against", "sgd", "--json", code=9)
    words = {
        "a.py": "is a link",
        "b.py": "is a pipe or a device",
        "c.py": "is a link",
        "e.py": "cannot read",
        "f.py": "a submission has at most 1,048,576",
        "g.ipynb": "is not a notebook",
    }
    assert verdicts(done) == [(name, "error") for name in words]
    for row in json.loads(done.stdout)["submissions"]:
        assert words[row["submission"]] in row["explanation"]
    optilab("verify", "e.py", "--against", "sgd", code=2)


def test_no_link_is_read(optilab, tmp_path):
    for name in ("secret", "class/ben/ben", "lab/carla"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").write_text('TOKEN = "abc')
    (tmp_path / "class" / "ana").mkdir()
    (tmp_path / "class" / "ana" / "a.py").symlink_to("../../secret.py")
    (tmp_path / "class" / "ana" / "b.py").symlink_to("../ben/ben.py")
    (tmp_path / "class" / "dan").symlink_to("../lab")
    (tmp_path / "link").symlink_to("class")  # the teacher's, to all submissions
    done = optilab("grade", "link/*/*.py", "--against", "sgd", "--feedback", "out", "--json", code=9)
    texts = {file.stem: file.read_text() for file in (tmp_path / "out").rglob("*.txt")}
    for row in json.loads(done.stdout)["submissions"]:
        regular = row["submission"] == "link/ben/ben.py"
        assert ("TOKEN" in row["explanation"]) == ("TOKEN" in texts[Path(row["submission"]).name]) == regular
        assert regular or "is a link" in row["explanation"]
    assert len(texts) == 4


def test_files_patterns_and_directories_together(optilab, tmp_path):
    (tmp_path / "sub" / "below").mkdir(parents=True)
    for name in ("a1", "a2", "b1", "[c]", "sub/d", "sub/below/e"):
        (tmp_path / f"{name}.py").write_text(RULE)
    (tmp_path / "sub" / "notes.txt").write_text("no submission")
    (tmp_path / "sub" / "nan.py").write_text('def SGD(w, g, lr=0.01):\n    return w * float("nan")\n')
    line = ["grade", "b*.py:SGD", "a*.py", "a1.py:SGD", "[c].py", "sub", "--against", "sgd", "--json"]
    done = optilab(*line, code=9)
    equal = [(f"{name}.py", "equal") for name in ("[c]", "a1", "a2", "b1", "sub/d")]
    assert verdicts(done) == [*equal, ("sub/nan.py", "differs")]
    assert (
        json.loads(done.stdout)["submissions"][-1]["explanation"]
        == "returns nan, inf or a number beyond 1e+30 at step 1"
    )
    assert "not searched: sub/below" in done.stderr


def test_file_without_a_name(optilab, tmp_path):
    """The only name that fits, or that of the optimizer; in a notebook, too; in any encoding that Python reads.

    A class comes before those that it extends, and one without a gradient does not count.
    """
    lines = ["%matplotlib inline\n", '!echo it\'s """ (\n', *CONTINUED.splitlines(True), *RULE.splitlines(True)]
    cells = [{"cell_type": "markdown", "source": ["# SGD"]}, {"cell_type": "code", "source": lines}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "b.py").write_text(RULE.replace("SGD", "mine") + RULE.replace("SGD", "yours"))
    (tmp_path / "c.py").write_text(RULE.replace("SGD", "Mine") + RULE)
    (tmp_path / "d.py").write_text(f"\ufeff{RULE}")
    (tmp_path / "e.py").write_text(f"# coding: latin-1\n# é\n{RULE}", encoding="latin-1")
    (tmp_path / "f.py").write_text(RULE.replace("SGD", "step") + "def mean(a, b): return a\n")
    method = " def update(self, w, g): return w - 0.01 * g\n"
    (tmp_path / "g.py").write_text(f"class Base:\n{method}class Mine(Base): pass\ndef helper(a, b): return a\n")
    helper = "class Average:\n def update(self, old, new): return new\n"
    (tmp_path / "h.py").write_text(helper + RULE.replace("SGD", "step"))
    for file in ("a.ipynb", "c.py"):
        assert optilab("verify", file, "--against", "sgd").stdout.startswith(f"{file}:SGD against sgd")
    done = optilab("grade", ".", "--against", "sgd", "--json", code=9)
    named = [row["name"] for row in json.loads(done.stdout)["submissions"]]
    assert named == ["SGD", "", "SGD", "SGD", "SGD", "step", "Mine", "step"]
    assert [verdict for _, verdict in verdicts(done)] == ["equal", "error", *["equal"] * 6]


FOUR = """
import numpy as np

def gd(w, g, lr): return w - lr * g

def sgd_momentum(w, dw, config=None):
    config = config or {"learning_rate": 0.01, "momentum": 0.9, "velocity": 0}
    config["velocity"] = config["momentum"] * config["velocity"] + dw
    return w - config["learning_rate"] * config["velocity"], config

def adam(w, g, V, S, lr, beta1, beta2, eps):
    V = beta1 * V + (1 - beta1) * g
    S = beta2 * S + (1 - beta2) * g**2
    return w - lr * V / (np.sqrt(S) + eps), V, S
"""


def test_several_optimizers_are_a_row_with_points(optilab, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ana.py").write_text(FOUR)
    (tmp_path / "in" / "kim.py").write_text("retrun")
    (tmp_path / "in" / "one.py").write_text(RULE.replace("SGD", "mine"))
    line = ["grade", "in", "--against", "sgd,momentum,adam", "--points", "2,2,3"]
    done = optilab(*line, "--partial", "0.5", "--feedback", "out", "--json", code=9)
    ana, kim, one = json.loads(done.stdout)["submissions"]
    assert [ana[key] for key in ("sgd", "momentum", "adam", "points")] == ["equal", "equal", "explained", 5.5]
    assert ana["explanation"].startswith("adam: no bias correction")
    assert (kim["adam"], kim["points"]) == ("error", 0)
    assert kim["explanation"].count("NameError") == 1
    assert "sgd: one.py has no sgd; it has mine" in one["explanation"]
    assert (tmp_path / "out" / "ana.py.txt").read_text().startswith("# sgd\nequal\n")
    cells = optilab(*line, "--format", "csv", "--columns", "submission,points", code=9).stdout.splitlines()
    assert cells == ["submission,points", "in/ana.py,4.0", "in/kim.py,0.0", "in/one.py,0.0"]
    assert "gd against sgd" in optilab("verify", "in/ana.py", "--against", "sgd").stdout
    assert "expected 3 numbers >= 0, for sgd, momentum, adam" in optilab(*line[:-1], "2,2", code=2).stderr
    assert "expected files without :NAME" in optilab("grade", "in/ana.py:gd", *line[2:], code=2).stderr


def test_the_template_can_be_filled_in(optilab, tmp_path):
    optilab("grade", "--template", "new", "--against", "sgd,momentum,adam")
    text = (tmp_path / "new" / "optimizers.py").read_text()
    assert "def adam(w, g, V, S, t, lr, beta1, beta2, eps):" in text
    assert "return w, V, S" in text
    (tmp_path / "new" / "optimizers.py").write_text(
        text.replace("    return w\n", "    return w - lr * g\n").replace(
            "    return w, V\n", "    V = beta * V + g\n    return w - lr * V, V\n"
        )
    )
    rows = json.loads(optilab("grade", "new", "--against", "sgd,momentum,adam", "--json", code=9).stdout)
    assert [rows["submissions"][0][name] for name in ("sgd", "momentum", "adam")] == ["equal", "equal", "differs"]
    optilab("grade", "--template", "wrapped", "--against", "lookahead")
    assert "V, S, slow, t, lr, beta1" in (tmp_path / "wrapped" / "optimizers.py").read_text()
    refused = optilab("grade", "--template", "none", "--against", "sam,sgd", code=2).stderr
    assert "a function of w and g cannot take the steps of sam" in refused
    assert not (tmp_path / "none").exists()
    assert "expected PATTERN or --template" in optilab("grade", "--against", "sgd", code=2).stderr


def test_lists_and_dicts_are_refused_with_the_line_to_write(optilab, tmp_path):
    books = {"adam": "w, grad, params", "sgd_momentum": "params, states, hyperparams", "mine": "w, g, states"}
    lines = {
        "adam": "def adam(w, g, V, S, t, lr, beta1, beta2, eps): ... return w, V, S",
        "sgd_momentum": "def sgd_momentum(w, g, V, lr, beta): ... return w, V",
        "mine": "def mine(w, g, V, lr, beta): ... return w, V",
    }
    for name, parameters in books.items():
        (tmp_path / f"{name}.py").write_text(f"def {name}({parameters}):\n    return {parameters.split(',')[0]}\n")
        assert lines[name] in optilab("verify", f"{name}.py", "--against", "adam", code=2).stderr


def test_no_submission_is_told_the_reference(optilab, tmp_path):
    search = """
import sys

def is_told():
    frame, values = sys._getframe(), []
    while frame := frame.f_back:
        values.append(repr(frame.f_locals).lower())
    return "nad" + "am" in "".join(values)

print(is_told())
class Mine:
    def update(self, w, g):
        print(is_told())
        return w
"""
    (tmp_path / "a.py").write_text(search)
    (tmp_path / "b.py").write_text(f"{search}class Sgd(Mine): pass\nclass Adam(Mine): pass\n")
    done = optilab("grade", "*.py", "--against", "nadam", "--json", code=9)
    rows = json.loads(done.stdout)["submissions"]
    assert [row["name"] for row in rows] == ["Mine", ""]
    assert rows[1]["explanation"] == "b.py has Sgd, Adam: choose one, as in b.py:Sgd"
    assert all("False" in row["output"] and "True" not in row["output"] for row in rows)


def test_defaults_that_are_not_those_of_the_rule_are_said(optilab, tmp_path):
    line = "    V = beta * V + (1 - beta) * g\n    return w - lr * V, V\n"
    headers = {"a": "lr=0.01, beta=0.99", "b": "lr, beta=0.9", "c": "lr=0.6, beta=0.5"}  # c: those of the exercise
    for name, parameters in headers.items():
        (tmp_path / f"{name}.py").write_text(f"def momentum(w, g, V, {parameters}):\n{line}")
    done = optilab("grade", "*.py", "--against", "momentum", "--json")
    (a, b, c) = (row["explanation"] for row in json.loads(done.stdout)["submissions"])
    assert a == f"{b}; default beta 0.99, momentum has 0.5"
    assert b == c
    done = optilab("verify", "a.py", "--against", "momentum", "--set", "algo.form=ema")
    assert "equal to 1e-11 at every step; default beta 0.99, momentum has 0.9\n" in done.stdout


def test_feedback_is_a_text_for_each_student(optilab, tmp_path):
    slow = "def sgd(w, g, lr):\n    while True: pass\n"
    sources = {"ana": RULE, "ben": WRONG, "kim": "x = 1", "leo": RULE.replace("-", "+"), "max": slow}
    sources["pia"] = f"for n in range(9000): print('line', n)\n{RULE}"
    for student, source in sources.items():
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "sgd.py").write_text(source)
    optilab("grade", "in/*/*.py", "--against", "sgd", "--feedback", "out", "--timeout", "2", code=9)
    texts = {path.parent.name: path.read_text() for path in Path(tmp_path, "out").rglob("*.txt")}
    words = {
        "ana": "equal\n",
        "ben": "w <- w - lr*g",
        "kim": "no class with update",
        "leo": "explained by:",
        "max": ": step 1 took more than 2 s\n",
        "pia": "What your code printed:\n... (the end of 88,890 bytes)\nline ",
    }
    for student, word in words.items():
        assert word in texts[student]
    rows = csv.reader(
        io.StringIO(optilab("grade", "in/ben", "--against", "sgd", "--format", "csv", code=9).stdout)
    )
    explanation = [*rows][1][-1]
    assert explanation.startswith("no edit of the formula explains it")
    assert explanation in texts["ben"].splitlines()


def test_a_failure_of_the_grading_is_one_row(tmp_path):
    def fails(candidate):
        raise RuntimeError("unforeseen")

    file = tmp_path / "mine.py"
    file.write_text(RULE)
    row = grade_file(file, "SGD", file.read_bytes, fails, Sandbox(20.0, 2048, "limits"))
    assert (row.verdict, row.explanation) == ("error", "RuntimeError: unforeseen")
