"""Grading many files: whatever one of them does costs its own row, and nothing of the grader's.

How mistakes in a line are refused: tests/transcripts/verify-files.txt.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from optilab.errors import UsageError
from optilab.optimize import RULES
from optilab.verify.candidate import find_optimizer, load
from optilab.verify.compare import grade
from optilab.verify.remote import Limits, TimeLimit, Warden
from optilab.verify.submissions import POINTS, files, grade_one, read_points
from optilab.verify.warden import descendants, remove_tree
from tests.processes import wait_until

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
WRONG = "def SGD(w, g, lr=0.01):\n    return w + 3 * lr * g * g\n"
LIMITS = Limits(0.5, memory=2048, loading=1.0)
ENOUGH = Limits(20.0, memory=2048, loading=20.0)
CODE = yaml.safe_load((Path(__file__).parent / "hostile.yaml").read_text())


def source_of(kind, name):
    """A submission of hostile.yaml."""
    code, rest = CODE[kind][name], WRONG if kind == "forged" else RULE
    return code if "def SGD" in code else code + rest


@pytest.fixture(scope="module")
def warden():
    with Warden() as made:
        yield made


@pytest.fixture
def row(warden, tmp_path):
    """The row of a source that is graded in a process of its own."""

    def graded(source, file="mine.py", limits=ENOUGH):
        (tmp_path / file).write_text(source)
        copies = tmp_path / "copies"
        copies.mkdir(exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(copies))
            found = grade_one(
                warden, tmp_path / file, "SGD", lambda own: grade(own, RULES["sgd"]()), limits, POINTS
            )
        assert not list(copies.glob("optilab-*"))
        assert set(descendants(warden._process.pid)) <= {warden._pid}
        assert len(found.explanation) < 2500
        assert len(found.output) <= 24_000
        assert found.explanation.replace("\n", "").isprintable()
        return found

    return graded


# --- hostile code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CODE["harmless"], "a byte order mark"])
def test_odd_and_right_is_equal(row, name):
    assert row("\ufeff" + RULE if name not in CODE["harmless"] else source_of("harmless", name)).verdict == "equal"


@pytest.mark.parametrize("name", [*CODE["hostile"], "a huge source"])
def test_hostile_submission_costs_its_own_row(row, name):
    source = "#" * (2 << 20) if name == "a huge source" else source_of("hostile", name)
    graded = row(source, limits=LIMITS)
    assert graded.verdict in ("error", "timeout")
    assert graded.explanation
    assert row(RULE, file="next.py").verdict == "equal"


@pytest.mark.parametrize("name", CODE["forged"])
def test_no_submission_writes_its_own_verdict(row, tmp_path, name):
    (tmp_path / "good.py").write_text(RULE)
    assert row(source_of("forged", name)).verdict in ("differs", "error", "explained")


def test_a_failure_of_the_grading_is_one_row(warden, tmp_path):
    def fails(candidate):
        raise RuntimeError("unforeseen")

    (tmp_path / "mine.py").write_text(RULE)
    graded = grade_one(warden, tmp_path / "mine.py", "SGD", fails, ENOUGH, POINTS)
    assert (graded.verdict, graded.explanation) == ("error", "RuntimeError: unforeseen")


def test_a_deep_directory_is_removed(tmp_path):
    (tmp_path / "copy").mkdir()
    deep = "import os\nfor _ in range(1500): os.mkdir('d' * 20); os.chdir('d' * 20)\nos.chmod('.', 0)\n"
    subprocess.run([sys.executable, "-c", deep], cwd=tmp_path / "copy", check=True)
    remove_tree(str(tmp_path / "copy"))
    assert not list(tmp_path.iterdir())


def test_loading_of_libraries_is_no_step(row):
    """What libraries load for the first optimizer."""
    slow = "import time\nSLOW = [0.8]\n\n\nclass SGD:\n    def __init__(self, lr=0.1):\n        self.lr = lr\n"
    slow += "        time.sleep(SLOW.pop() if SLOW else 0)\n\n"
    slow += "    def update(self, w, g):\n        return w - self.lr*g\n"
    assert row(slow, limits=Limits(0.4)).verdict == "equal"


class TestOneFile:
    """The process of `verify FILE`, which may read what the user may."""

    @pytest.mark.parametrize(
        ("source", "error", "words"),
        [
            (
                "def f(w, g, lr, t):\n while t == 3:\n  try: sum(range(10**9))\n  except: pass\n return w",
                TimeLimit,
                "step 3 took",
            ),
            ("while True: pass", TimeLimit, "loading the file took more than 1 s"),
            (
                "import os\ndef f(w, g, lr): os.kill(os.getpid(), 9)",
                UsageError,
                "ended the process \\(signal 9\\)",
            ),
            ("def f(w, g): raise KeyboardInterrupt", UsageError, "step 1: line 1: KeyboardInterrupt"),
            ("def f(w, g, lr): return w - 2 * lr * g", None, ""),
        ],
    )
    def test_failure_costs_a_sentence(self, warden, tmp_path, source, error, words):
        """Other code has the verdict of this process."""
        path = tmp_path / "mine.py"
        path.write_text(source)
        limits = Limits(0.3 if error else 10.0, loading=1.0 if error else 10.0)
        with warden.running(path, "f", path.name, limits, isolated=False) as running:
            if error is None:
                assert grade(running.load(), RULES["sgd"]()) == grade(load(f"{path}:f"), RULES["sgd"]())
                return
            with pytest.raises(error, match=words):
                grade(running.load(), RULES["sgd"]())

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("for _ in range(80):\n if os.fork() == 0: time.sleep(60)", "processes"),
            ("for n in range(9): open(str(n), 'wb').truncate(15 << 20)", "wrote more than 64 MiB"),
            (
                "for _ in range(4): os.fork()\nbig = bytearray(b'x') * (60 << 20)",
                "its processes used more than 600 MiB",
            ),
        ],
        ids=["processes", "files", "memory"],
    )
    def test_limits_are_for_all_processes(self, warden, tmp_path, source, words):
        path = tmp_path / "mine.py"
        path.write_text(f"import os, time\n{source}\ntime.sleep(60)\ndef f(w, g, lr=0.01): return w - lr * g\n")
        limits = Limits(10.0, memory=600)
        with pytest.raises(UsageError, match=words), warden.running(path, "f", path.name, limits) as running:
            running.load()


# --- processes ---------------------------------------------------------------------------------------------

MEMORY = """import ctypes, os
libc, pid = ctypes.CDLL(None), os.getppid()
for _ in range(3):
    try: open(f'/proc/{pid}/mem', 'r+b'); print('opened', pid)
    except OSError: pass
    if libc.ptrace(0x4206, pid, 0, 0) == 0: print('seized', pid)
    pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
"""
"""Of the two processes above it, and the grader."""
LIBRARY = """import json, optilab
for row in optilab.Lab().verify('a*.py:SGD', against='sgd').rows: print(json.dumps(row))"""


@pytest.mark.parametrize("library", [False, True])
def test_no_submission_reads_the_graders_memory(tmp_path, library):
    """Not root's either, whom the system lets read any process."""
    (tmp_path / "a.py").write_text(MEMORY + RULE)
    grading = ["-m", "optilab", "verify", "a*.py:SGD", "--against", "sgd", "--json"]
    command = [sys.executable, *(["-c", LIBRARY] if library else grading)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    graded = found if library else found["submissions"][0]
    assert (graded["verdict"], graded["output"]) == ("equal", "")


def test_no_environment_no_neighbors_nothing_left(optilab_process, tmp_path):
    """Not the grader's own environment either, which /proc would show."""
    (tmp_path / "right.py").write_text(RULE)
    (tmp_path / "secret.py").write_text(SECRET + RULE)
    arguments = ["*.py:SGD", "--against", "sgd", "--json"]
    done = optilab_process("verify", *arguments, GRADER_TOKEN="s3cret", TMPDIR=str(tmp_path.parent))
    rows = {one["submission"]: one for one in json.loads(done.stdout)["submissions"]}
    assert rows["secret.py"]["verdict"] == rows["right.py"]["verdict"] == "equal"
    output = rows["secret.py"]["output"]
    assert output.split()[0] == "None"
    assert not [word for word in ("True", "right.py", "s3cret") if word in output]
    assert not [name for name in os.listdir(tmp_path.parent) if name.startswith("optilab-")]


SECRET = """import os, sys
print(os.environ.get('GRADER_TOKEN'), os.environ['HOME'], os.listdir())
assert [word[-3:] for word in sys.argv] == ['.py']
pid = os.getppid()
for _ in range(3):
    try: print(b's3cret' in open(f'/proc/{pid}/environ', 'rb').read())
    except OSError: print(False)
    pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
"""


def test_grader_outlives_a_deaf_submission(optilab_process, tmp_path):
    """SIGPIPE would end it in silence, which a test's own process ignores. What it prints is in no document."""
    (tmp_path / "deaf.py").write_text(source_of("hostile", "stops listening"))
    (tmp_path / "right.py").write_text(f"print('hello')\n{RULE}")
    done = optilab_process("verify", "*.py:SGD", "--against", "sgd", "--json", code=9)
    assert submissions(done) == [("deaf.py", "error"), ("right.py", "equal")]
    optilab_process("verify", "deaf.py:SGD", "--against", "sgd", code=2)
    printing = optilab_process("verify", "right.py:SGD", "--against", "sgd", "--json")
    assert json.loads(printing.stdout)["equal"]
    assert "hello" in printing.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_grader_leaves_nothing(tmp_path, number):
    """No copy of a file, and no process."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.py").write_text("import time\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "optilab", "verify", "*.py:SGD", "--against", "sgd"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "out")}
    grader = subprocess.Popen(command, cwd=tmp_path / "in", env=environment, stderr=subprocess.PIPE)
    wait_until(lambda: len(descendants(grader.pid)) == 3)
    left = descendants(grader.pid)
    grader.send_signal(number)
    assert grader.communicate()[1] == b""
    wait_until(lambda: not any(is_alive(pid) for pid in left))
    assert not list((tmp_path / "out").iterdir())


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- files and their rows ----------------------------------------------------------------------------------


def submissions(done):
    return [(row["submission"], row["verdict"]) for row in json.loads(done.stdout)["submissions"]]


def test_names_are_no_options_and_no_patterns(optilab, tmp_path):
    names = ["adam (2).py", "adam[1].py", "what?.py", "-adam.py", "--help.py", "a\nb.py", "a\x1b[31m.py", "a:b.py"]
    for name in names:
        (tmp_path / name).write_text(RULE)
    done = optilab("verify", "*.py:SGD", "--against", "sgd", "--json")
    assert submissions(done) == [(name, "equal") for name in sorted(names)]
    assert json.loads(optilab("verify", "adam[1].py:SGD", "--against", "sgd", "--json").stdout)["equal"]


def test_what_is_no_file_has_a_row(optilab, tmp_path):
    (tmp_path / "a.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.py")
    (tmp_path / "c.py").symlink_to("/dev/zero")
    (tmp_path / "d.py").mkdir()
    (tmp_path / "e.py").symlink_to("e.py")
    done = optilab("verify", "*.py:SGD", "--against", "sgd", "--json", code=9)
    assert submissions(done) == [(name, "error") for name in ("a.py", "b.py", "c.py", "e.py")]
    explanations = [row["explanation"] for row in json.loads(done.stdout)["submissions"]]
    assert [text.endswith("is a pipe or a device, not a file") for text in explanations] == [
        False,
        True,
        True,
        False,
    ]
    optilab("verify", "e.py", "--against", "sgd", code=2)


def test_files_and_patterns_together(optilab, tmp_path):
    for name in ("a1", "a2", "b1", "[c]"):
        (tmp_path / f"{name}.py").write_text(RULE)
    done = optilab("verify", "b*.py:SGD", "a*.py", "a1.py:SGD", "[c].py", "--against", "sgd", "--json")
    assert submissions(done) == [(f"{name}.py", "equal") for name in ("[c]", "a1", "a2", "b1")]
    expected = {"equal": 10, "explained": 6.5, "differs": 0, "timeout": 0, "error": 0}
    assert read_points("equal=10, explained=6.5") == expected
    with pytest.raises(UsageError, match="no file"):
        files(["nowhere-*.py:A"])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class MyAdam:\n def update(self, w, g): return w\ndef helper(a, b): return a\n", "MyAdam"),
        ("def step(w, g, lr=0.1): return w\ndef mean(a, b): return a\n", "step"),
        ("class Base:\n def update(self, w, g): return w\nclass Mine(Base): pass\n", "Mine"),
        ("import torch\nclass Mine(torch.optim.Optimizer): pass\n", "Mine"),
    ],
)
def test_name_that_fits_is_taken(tmp_path, source, name):
    (tmp_path / "a.py").write_text(source)
    assert find_optimizer(tmp_path / "a.py").name == name


def test_file_without_a_name(optilab, tmp_path):
    """The only name that fits, or that of the optimizer; in a notebook, too."""
    code = {
        "cell_type": "code",
        "source": ["%matplotlib inline\n", "!pip install numpy\n", *RULE.splitlines(True)],
    }
    cells = [{"cell_type": "markdown", "source": ["# SGD"]}, code]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "b.py").write_text(RULE.replace("SGD", "mine") + RULE.replace("SGD", "yours"))
    (tmp_path / "c.py").write_text(RULE.replace("SGD", "Mine") + RULE)
    (tmp_path / "d.ipynb").write_text("[1]")
    for file in ("a.ipynb", "c.py"):
        assert optilab("verify", file, "--against", "sgd").stdout.startswith(f"{file}:SGD against sgd")
    done = optilab("verify", "*.py", "*.ipynb", "--against", "sgd", "--json", code=9)
    assert [verdict for _, verdict in submissions(done)] == ["equal", "error", "equal", "error"]


def test_feedback_is_a_text_for_each_student(optilab, tmp_path):
    slow = "def sgd(w, g, lr):\n    while True: pass\n"
    sources = {"ana": RULE, "ben": WRONG, "kim": "x = 1", "leo": RULE.replace("-", "+"), "max": slow}
    for student, source in sources.items():
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "sgd.py").write_text(source)
    arguments = ["--feedback", "out", "--timeout", "1"]
    optilab("verify", "in/*/*.py", "--against", "sgd", *arguments, code=9)
    texts = {path.parent.name: path.read_text() for path in Path(tmp_path, "out").rglob("*.txt")}
    words = {
        "ana": "equal: 1 point",
        "ben": "w <- w - lr*g",
        "kim": "no class with update",
        "leo": "explained by:",
    }
    for student, word in {**words, "max": ": step 1 took more than 1 s\n"}.items():
        assert word in texts[student]
