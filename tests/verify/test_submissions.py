"""Grading many files: whatever one of them does costs its own row, and nothing of the grader's."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from optilab.errors import UsageError
from optilab.lab import Lab
from optilab.optimize import RULES
from optilab.verbs.verify import _with_progress
from optilab.verify.grade import grade
from optilab.verify.remote import Limits, Warden
from optilab.verify.submissions import POINTS, files, grade_one, is_pattern, read_points, split
from optilab.verify.warden import descendants, remove_tree
from tests.faults.harness import until

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
WRONG = "def SGD(w, g, lr=0.01):\n    return w + 3 * lr * g * g\n"
LIMITS = Limits(0.5, memory=2048, loading=1.0)
ENOUGH = Limits(20.0, memory=2048, loading=20.0)

UP = "import os, signal\nup = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
HARMLESS = {
    "stops its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n" + RULE,
    "stops its parent's parent": UP + "os.kill(up, signal.SIGSTOP)\n" + RULE,
    "a daemon of a daemon": "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(600)\n"
    " os._exit(0)\n" + RULE,
    "closes its output": "import os\nos.close(1)\nos.close(2)\n" + RULE,
    "deletes itself": "import os\nos.remove(__file__)\n" + RULE,
    "a daemon": "import os, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(600)\n os._exit(0)\n" + RULE,
    "prints at exit": "import atexit\natexit.register(print, 'bye')\n" + RULE,
    "a numpy of its own": "open('numpy.py', 'w').write('raise SystemExit')\n" + RULE,
    "a thousand files": "for n in range(1000): open(str(n), 'w').write('x')\n" + RULE,
    "a new main": "import sys\nsys.modules['__main__'] = None\nsys.modules['json'] = None\n" + RULE,
    "no streams": "import sys\nsys.stdout = sys.stderr = None\n" + RULE,
    "ignores signals": "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n" + RULE,
    "a megabyte": "print('x' * 2**20)\n" + RULE,
    "a directory": "import os\nos.mkdir('d')\nos.chdir('d')\n" + RULE,
    "no directory": "import os, shutil\nshutil.rmtree(os.getcwd())\n" + RULE,
    "a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    + RULE,
    "in place": "def SGD(w, g, lr=0.01):\n    w -= lr * g\n    return w\n",
    "a BOM": "\ufeff" + RULE,
}
"""Odd, and right."""
HOSTILE = {
    "allocates": "import numpy as np\nbig = np.ones(10 * 2**30, dtype=np.uint8)\n" + RULE,
    "a base exception": "class X(BaseException): pass\ndef SGD(w, g, lr=0.01): raise X('\\x1b[31m\\u202e')\n",
    "a generator's end": "def SGD(w, g, lr=0.01): raise GeneratorExit\n",
    "an interrupt": "raise KeyboardInterrupt\n" + RULE,
    "exits": "import os\nos._exit(0)\n",
    "exits at step 1": "import os\ndef SGD(w, g, lr=0.01): os._exit(9)\n",
    "quits": "import sys\nsys.exit(0)\n",
    "aborts": "import os\nos.abort()\n",
    "a wrong address": "import ctypes\nctypes.string_at(0)\n",
    "recursion": "def SGD(w, g, lr=0.01): return SGD(w, g, lr)\n",
    "kills its parent": "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)\n",
    "kills what collects its processes": UP + "os.kill(up, signal.SIGKILL)\nwhile True: pass\n",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
    "loops": "while True: pass\n",
    "loops at step 1": "def SGD(w, g, lr=0.01):\n while True: pass\n",
    "catches everything": "def SGD(w, g, lr=0.01):\n while True:\n  try: int('x')\n  except BaseException: pass\n",
    "sleeps": "import time\ntime.sleep(600)\n",
    "waits": "import threading\nthreading.Lock().acquire() and threading.Event().wait()\n",
    "reads": "input()\n" + RULE,
    "prints without end": "while True: print('x' * 1000)\n",
    "forks": "import os, time\nfor _ in range(99):\n if os.fork() == 0: time.sleep(600)\ntime.sleep(600)\n",
    "a bomb": "import os\nwhile True: os.fork()\n",
    "closes everything": "import os\nos.closerange(0, 256)\n" + RULE,
    "stops listening": "import os, socket\nfor n in range(3, 64):\n"
    " try: socket.socket(fileno=os.dup(n)).shutdown(socket.SHUT_RD)\n except OSError: pass\n" + RULE,
    "a long error": "def SGD(w, g, lr=0.01): raise ValueError('A' * 5_000_000)\n",
    "an error in an error": "class X(Exception):\n def __str__(self): raise self\nraise X\n",
    "a huge file": "open('big', 'wb').write(bytes(1 << 28))\n",
    "many large files": "for n in range(9): open(str(n), 'wb').write(bytes(15 << 20))\nwhile True: pass\n",
    "many files": "for n in range(20_000): open(str(n), 'w')\nwhile True: pass\n",
    "a thousand directories in each step": "import os\ndef SGD(w, g, lr=0.01):\n"
    " for n in range(1000): os.mkdir('d' * 20); os.chdir('d' * 20)\n return w - lr * g\n",
    "directories inside each other without end": "import os\nwhile True: os.mkdir('d' * 20); os.chdir('d' * 20)\n",
    "a huge source": "#" * (2 << 20),
    "nested": "(" * 5000,
    "zeros": "\0" * 100,
    "another type": "def SGD(w, g, lr=0.01): return 'x'\n",
    "another shape": "def SGD(w, g, lr=0.01): return w[:1]\n",
    "a generator": "def SGD(w, g, lr=0.01): yield w\n",
    "an object": "class A:\n def __array__(self, *a, **k): raise MemoryError\ndef SGD(w, g, lr=0.01): return A()\n",
}
ODD = {
    "an array": "import numpy as np\nclass A(np.ndarray):\n def tolist(self): return [1e999]\n"
    "def SGD(w, g, lr=0.01): return (w + 1).view(A)\n",
    "complex": "def SGD(w, g, lr=0.01): return w * 1j\n",
    "an odd default": "def SGD(w, g, lr=0.01, x=object()): return w\n",
    "an answer to every question": 'import json\njson.dumps = lambda *a, **k: \'{"equal": true, "name": "x",'
    ' "parameters": {}, "literals": [], "point": [0.0, 0.0]}\'\n' + WRONG,
    "no gradient left": "def SGD(w, g, lr=0.01):\n g[...] = 0\n w[...] = 0\n return w + 3 * lr * g * g\n",
}
"""Wrong, in types that NumPy accepts, or with the same answer to every gradient."""
MEMORY = """import ctypes, os
libc, pid = ctypes.CDLL(None), os.getppid()
for _ in range(3):
    try: open(f'/proc/{pid}/mem', 'r+b'); print('opened', pid)
    except OSError: pass
    if libc.ptrace(0x4206, pid, 0, 0) == 0: print('seized', pid)
    pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])
"""
"""Of the two processes above it, and the grader."""
EVERY_DESCRIPTOR = "import os, json\nfor n in range(3, 64):\n try: os.write(n, {!r})\n except OSError: pass\n"
FORGED = {
    "a document": "import os\nopen('../document', 'w').write('{\"equal\": true}')\nos.kill(os.getppid(), 9)\n"
    + WRONG,
    "a verdict": "import os, pickle\nfrom optilab.verify.grade import Verdict\n"
    "data = pickle.dumps(('result', Verdict({}, 100, ('ravine',))))\n"
    + "for n in range(3, 64):\n try: os.write(n, data)\n except OSError: pass\nos._exit(0)\n",
    "a patched comparison": "import optilab.verify.grade as m\nm.first_difference = lambda *a, **k: None\n"
    "m.PathComparison.differs = lambda *a: None\nm.grade = lambda *a, **k: m.Verdict({}, 100, ())\n" + WRONG,
    "a patched NumPy": "import numpy as np\nnp.abs = lambda x: np.zeros_like(x)\nnp.max = np.isnan = np.abs\n"
    + WRONG,
    "another's file": "import os, glob\nfor f in glob.glob('/proc/[0-9]*/cwd/good.py') + glob.glob('../*/*.py'):\n"
    " if 'good' in f: exec(open(f).read())\n" + WRONG,
    "equal by name": EVERY_DESCRIPTOR.format(b'{"equal": true}\n') + WRONG,
    "points in advance": EVERY_DESCRIPTOR.format(b'{"point": [0.0, 0.0]}\n' * 5000) + WRONG,
    "no number": EVERY_DESCRIPTOR.format(b'{"point": [NaN, "x", {}]}\n') + WRONG,
    "an array that is equal": "import numpy as np\nclass A(np.ndarray):\n def __sub__(self, o): return A((2,))*0\n"
    " def __eq__(self, o): return True\n def __le__(self, o): return True\n"
    "def SGD(w, g, lr=0.01): return (w + 3*lr*g*g).view(A)\n",
    "another warden": "import sys\nimport optilab.verify.warden as m\nm.os.waitstatus_to_exitcode = lambda s: 0\n"
    "m.begun = None\nsys.modules['optilab.verify.candidate'].begun = None\n" + WRONG,
    "its own source, and a right one": "open(__file__, 'w').write(" + repr(RULE) + ")\n" + WRONG,
    "lines in an error": 'def SGD(w, g, lr=0.01): raise Exception(\'"}\\n{"point": [0.0, 0.0]}\\nequal\')\n',
    "a name of its own": WRONG + "SGD.__name__ = SGD.__qualname__ = 'equal\\t1\\n\\x1b[32mequal'\n",
    "a tampered copy": "import optilab.optimize.rules.momentum as m\n"
    "m.SGD.update = lambda self, g, s: (3*self.lr*g*g, s)\nfrom optilab.optimize import descend\n" + WRONG,
}


@pytest.fixture(scope="module")
def warden():
    with Warden() as made:
        yield made


def row(warden, tmp_path, source, name="SGD", file="mine.py", limits=LIMITS):
    path = tmp_path / file
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    rule = RULES["sgd"]()
    copies = tmp_path / "copies"
    copies.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(copies))
        graded = grade_one(warden, path, name, lambda own: grade(own, rule), limits, POINTS)
    assert not list(copies.glob("optilab-*"))
    assert set(descendants(warden._process.pid)) <= {warden._pid}
    assert len(graded.explanation) < 2500
    assert len(graded.output) <= 24_000
    assert graded.explanation.replace("\n", "").isprintable()
    return graded


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_odd_and_right_is_equal(warden, tmp_path, name):
    assert row(warden, tmp_path, HARMLESS[name], limits=ENOUGH).verdict == "equal"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_submission_costs_its_own_row(warden, tmp_path, name):
    graded = row(warden, tmp_path, HOSTILE[name])
    assert graded.verdict in ("error", "timeout")
    assert graded.explanation
    assert row(warden, tmp_path, RULE, file="next.py", limits=ENOUGH).verdict == "equal"


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


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_and_wrong_is_not_equal(warden, tmp_path, name):
    expected = "differs" if name == "an odd default" else "explained"  # it makes no step, which is no slip
    assert row(warden, tmp_path, ODD[name], limits=ENOUGH).verdict == expected


LIBRARY = """import json, optilab
for row in optilab.Lab().verify('a*.py:SGD', against='sgd').rows: print(json.dumps(row))"""


@pytest.mark.parametrize("library", [False, True])
def test_no_submission_reads_the_memory_of_what_grades_it(tmp_path, library):
    """Not root's either, whom the system lets read any process."""
    (tmp_path / "a.py").write_text(MEMORY + RULE)
    grading = ["-m", "optilab", "verify", "a*.py:SGD", "--against", "sgd", "--json"]
    command = [sys.executable, *(["-c", LIBRARY] if library else grading)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    row = found if library else found["submissions"][0]
    assert (row["verdict"], row["output"]) == ("equal", "")


@pytest.mark.parametrize("name", FORGED)
def test_no_submission_writes_its_own_verdict(warden, tmp_path, name):
    (tmp_path / "good.py").write_text(RULE)
    assert row(warden, tmp_path, FORGED[name]).verdict in ("differs", "error")


def test_the_code_is_graded_again_after_all_of_that(warden, tmp_path):
    assert row(warden, tmp_path, RULE, limits=ENOUGH).verdict == "equal"
    assert row(warden, tmp_path, WRONG, limits=ENOUGH).verdict == "differs"


@pytest.mark.parametrize(
    "file",
    [
        "adam (2).py",
        "adam[1].py",
        "what?.py",
        "open[.py",
        "-adam.py",
        "--help.py",
        "a\nb.py",
        "a\x1b[31m.py",
        "a:b.py",
        "é.py",
    ],
)
def test_a_file_s_name_is_no_option_and_no_pattern(optilab, tmp_path, file):
    (tmp_path / file).write_text(RULE)
    (tmp_path / "other.py").write_text(WRONG)
    document = json.loads(optilab("verify", "*.py:SGD", "--against", "sgd", "--json", code=9).stdout)
    assert [(one["submission"], one["verdict"]) for one in document["submissions"]] == sorted(
        [(file, "equal"), ("other.py", "differs")]
    )


def test_what_is_no_file_has_a_row_too(optilab, tmp_path):
    (tmp_path / "a.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "b.py")
    (tmp_path / "c.py").symlink_to("/dev/zero")
    (tmp_path / "d.py").mkdir()
    document = json.loads(optilab("verify", "*.py:SGD", "--against", "sgd", "--json", code=9).stdout)
    assert [one["explanation"] for one in document["submissions"]] == [
        "cannot read a.py: No such file or directory",
        "b.py is a pipe or a device, not a file",
        "c.py is a pipe or a device, not a file",
    ]


@pytest.mark.parametrize("candidate", ["loop.py", "loop.py:SGD"])
def test_a_link_to_itself_is_refused(optilab, tmp_path, candidate):
    (tmp_path / "loop.py").symlink_to("loop.py")
    done = optilab("verify", candidate, "--against", "sgd", code=2)
    assert done.stderr == "optilab: cannot read loop.py: its symbolic links form a loop\n"


def test_one_file_with_the_name_of_a_pattern(optilab, tmp_path):
    (tmp_path / "adam[1].py").write_text(RULE)
    assert json.loads(optilab("verify", "adam[1].py:SGD", "--against", "sgd", "--json").stdout)["equal"]


def test_no_environment_no_neighbors_and_nothing_left(optilab_process, tmp_path):
    """Not the grader's own environment either, which /proc would show."""
    (tmp_path / "right.py").write_text(RULE)
    (tmp_path / "secret.py").write_text(
        "import os, sys\nprint(os.environ.get('GRADER_TOKEN'), os.environ['HOME'], os.listdir())\n"
        "assert [word[-3:] for word in sys.argv] == ['.py']\npid = os.getppid()\n"
        "for _ in range(3):\n"
        " try: print(b's3cret' in open(f'/proc/{pid}/environ', 'rb').read())\n"
        " except OSError: print(False)\n"
        " pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n" + RULE
    )
    arguments = ["*.py:SGD", "--against", "sgd", "--json"]
    done = optilab_process("verify", *arguments, GRADER_TOKEN="s3cret", TMPDIR=str(tmp_path.parent))
    rows = {one["submission"]: one for one in json.loads(done.stdout)["submissions"]}
    assert rows["secret.py"]["verdict"] == rows["right.py"]["verdict"] == "equal"
    output = rows["secret.py"]["output"]
    assert output.split()[0] == "None"
    assert "True" not in output
    assert "s3cret" not in done.stdout
    assert "right.py" not in output
    assert not [name for name in os.listdir(tmp_path.parent) if name.startswith("optilab-")]


def test_a_command_outlives_a_submission_that_stops_listening(optilab_process, tmp_path):
    """SIGPIPE would end it in silence, which a test's own process ignores."""
    (tmp_path / "deaf.py").write_text(HOSTILE["stops listening"])
    (tmp_path / "right.py").write_text(RULE)
    table = optilab_process("verify", "*.py:SGD", "--against", "sgd", "--format", "csv", code=9).stdout
    rows = [(row["submission"], row["verdict"]) for row in csv.DictReader(io.StringIO(table))]
    assert rows == [("deaf.py", "error"), ("right.py", "equal")]
    alone = optilab_process("verify", "deaf.py:SGD", "--against", "sgd", code=2)
    assert alone.stderr == "optilab: deaf.py: the code ended the process (exit status 0)\n"


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_grader_that_is_killed_leaves_no_copy_and_no_process(tmp_path, number):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.py").write_text("import time\ntime.sleep(600)\n")
    command = [sys.executable, "-m", "optilab", "verify", "*.py:SGD", "--against", "sgd"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "out")}
    grader = subprocess.Popen(command, cwd=tmp_path / "in", env=environment, stderr=subprocess.PIPE)
    until(lambda: len(descendants(grader.pid)) == 3)
    left = descendants(grader.pid)
    grader.send_signal(number)
    assert grader.communicate()[1] == b""
    until(lambda: not any(is_alive(pid) for pid in left))
    assert not list((tmp_path / "out").iterdir())


def test_what_it_printed_before_its_file_failed_is_kept(warden, tmp_path):
    assert row(warden, tmp_path, "print('here')\nraise ValueError\n").output == "here\n"


def test_formats(optilab, tmp_path):
    (tmp_path / "a, b.py").write_text(RULE)
    (tmp_path / "c.py").write_text("x = 1\n")
    arguments = ["verify", "*.py:SGD", "--against", "sgd", "--points", "equal=10"]
    table = optilab(*arguments, "--format", "csv", code=9).stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["submission"], row["verdict"], row["points"]) for row in rows] == [
        ("a, b.py", "equal", "10.0"),
        ("c.py", "error", "0.0"),
    ]
    (suite,) = ElementTree.fromstring(optilab(*arguments, "--format", "junit", code=9).stdout)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "1")
    assert optilab(*arguments, "--quiet", code=9).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none/*.py:SGD", "--against", "sgd"], "no file matches 'none/*.py': there is no directory none; see"),
        (["*.py:SGD", "--against", "sdg"], "unknown optimizer"),
        (
            ["*.py:SGD", "--against", "sgd", "--points", "good=1"],
            "unknown verdict 'good'; one of equal, explained",
        ),
        (
            ["*.py:SGD", "--against", "sgd", "--points", "equal=x"],
            "expected a number of points, as in equal=10; got 'equal=x'",
        ),
        (["*.py:SGD", "--against", "sgd", "--points", "equal=1,equal=2"], "equal is repeated"),
        (["*.py:SGD", "--against", "sgd", "--format", "xls"], "--format: expected one of table, csv"),
        (["*.py:SGD", "--against", "sgd", "--feedback", "."], "is not empty"),
        (["*.py:SGD", "--against", "sgd", "--timeout", "inf"], "--timeout"),
        (["*.py:SGD", "--against", "sgd", "--timeout", "nan"], "--timeout"),
        (["a.py:SGD", "--against", "sgd", "--format", "csv"], "--format needs several files"),
        (["a.py:SGD", "--against", "sgd", "--feedback", "new"], "--feedback needs several files"),
    ],
)
def test_a_mistake_is_reported_once_and_as_a_document(optilab, tmp_path, arguments, message):
    (tmp_path / "a.py").write_text(RULE)
    done = optilab("verify", *arguments, "--json", code=2)
    assert message in json.loads(done.stdout)["error"]["message"]


def test_a_print_of_the_user_s_code_is_not_in_the_document(optilab_process, tmp_path):
    (tmp_path / "a.py").write_text("print('hello')\n" + RULE)
    done = optilab_process("verify", "a.py:SGD", "--against", "sgd", "--json")
    assert json.loads(done.stdout)["equal"]
    assert "hello" in done.stderr


NAMES = {
    "one class": ("class MyAdam:\n def update(self, w, g): return w\ndef helper(a, b): return a\n", "MyAdam"),
    "one function": ("def step(w, g, lr=0.1): return w\ndef mean(a, b): return a\n", "step"),
    "of two classes the last": (
        "class Base:\n def update(self, w, g): return w\nclass Mine(Base): pass\n",
        "Mine",
    ),
    "the last definition": ("class Mine: pass\nclass Mine(Mine):\n def update(self, w, g): return w\n", "Mine"),
    "torch": ("import torch\nclass Mine(torch.optim.Optimizer): pass\n", "Mine"),
}


class TestWithoutAName:
    @pytest.mark.parametrize("case", NAMES)
    def test_the_only_one_that_fits_is_taken(self, tmp_path, case):
        from optilab.optimize.own import fitting

        source, name = NAMES[case]
        (tmp_path / "a.py").write_text(source)
        assert fitting(tmp_path / "a.py") == name

    def test_it_is_named_in_the_row(self, optilab, tmp_path):
        (tmp_path / "a.py").write_text(RULE)
        (tmp_path / "b.py").write_text(RULE.replace("SGD", "mine") + RULE.replace("SGD", "yours"))
        (tmp_path / "c.py").write_text("x = 1\n")
        table = optilab("verify", "*.py", "--against", "sgd", code=9).stdout
        rows = [line.split() for line in table.splitlines()]
        assert rows[1][:4] == ["a.py", "SGD", "equal", "1"]
        assert "b.py has mine, yours: choose one, as in b.py:mine" in table
        assert "c.py has no class with update(w, g)" in table

    def test_of_several_the_one_that_is_called_like_the_optimizer_counts(self, optilab, tmp_path):
        both = RULE.replace("SGD", "Mine") + RULE
        for file in ("a.py", "b.py"):
            (tmp_path / file).write_text(both)
        assert "a.py:SGD against sgd" in optilab("verify", "a.py", "--against", "sgd").stdout
        assert "2 equal" in optilab("verify", "*.py", "--against", "sgd").stdout
        assert Lab(tmp_path / "runs").verify(str(tmp_path / "a.py"), against="sgd").label == "a.py:SGD"

    def test_one_file(self, optilab, tmp_path):
        (tmp_path / "a.py").write_text(RULE)
        assert "a.py:SGD against sgd" in optilab("verify", "a.py", "--against", "sgd").stdout


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# SGD"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install numpy\n"]},
        {"cell_type": "code", "source": RULE.splitlines(keepends=True)},
    ]
}


@pytest.mark.parametrize("spec", ["a.ipynb", "*.ipynb"])
def test_a_notebook_is_the_code_of_its_cells(optilab, tmp_path, spec):
    (tmp_path / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    assert "equal" in optilab("verify", spec, "--against", "sgd").stdout


def test_a_notebook_is_called_by_its_name(optilab, tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps(NOTEBOOK))
    assert optilab("verify", "a.ipynb", "--against", "sgd").stdout.startswith("a.ipynb:SGD against sgd")
    (tmp_path / "a.ipynb").write_text(json.dumps(NOTEBOOK | {"cells": NOTEBOOK["cells"][:2]}))
    said = optilab("verify", "a.ipynb", "--against", "sgd", code=2).stderr
    assert (
        said == "optilab: a.ipynb has no class with update(w, g) and no function f(w, g, ...) (optilab help own)\n"
    )
    assert "1 submission against sgd: 1 error" in optilab("verify", "*.ipynb", "--against", "sgd", code=9).stdout


def test_a_broken_notebook_is_an_error(warden, tmp_path):
    assert "not a notebook" in row(warden, tmp_path, "[1]", file="a.ipynb").explanation


def test_feedback_is_a_text_for_each_student(optilab, tmp_path):
    for student, source in (("ana", RULE), ("ben", WRONG), ("kim", "x = 1"), ("leo", RULE.replace("-", "+"))):
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "sgd.py").write_text(source)
    optilab("verify", "in/*/*.py", "--against", "sgd", "--feedback", "out", code=9)
    texts = {path.parent.name: path.read_text() for path in Path(tmp_path, "out").rglob("*.txt")}
    assert texts["ana"].startswith("equal: 1 point\n")
    assert "differs from step 1 on" in texts["ben"]
    assert "w <- w - lr*g" in texts["ben"]
    assert "explained by:" in texts["leo"]
    for student in ("ben", "leo"):
        assert (
            "optilab explain --algo sgd --function ravine --start -5,-2 --set algo.lr=0.07 --step 1"
            in texts[student]
        )
    assert "no class with update" in texts["kim"]


def test_the_commonest_style_that_is_not_accepted_is_told_what_is(optilab, tmp_path):
    source = "class SGD:\n    def __init__(self, params, lr): ...\n    def step(self, grads): ...\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dora.py").write_text(source)
    said = optilab("verify", "in/*.py", "--against", "sgd", "--feedback", "out", code=9).stdout
    told = Path(tmp_path, "out", "dora.py.txt").read_text()
    for text in (said, told):
        assert "dora.py:SGD failed before its first step: TypeError: " in text
        assert "'params'; what is accepted: optilab help own" in text


def test_feedback_names_no_option_of_the_grader(optilab, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slow.py").write_text("def sgd(w, g, lr):\n    while True: pass\n")
    arguments = ["in/*.py", "--against", "sgd", "--feedback", "out", "--timeout", "0.1"]
    assert "took more than 0.1 s (--timeout)" in optilab("verify", *arguments, code=9).stdout
    assert Path(tmp_path, "out", "slow.py.txt").read_text().endswith(": step 1 took more than 0.1 s\n")


def test_the_formula_is_that_of_the_reading_that_is_equal(tmp_path):
    """And of the settings of that reading only those are named that the code does not take."""
    (tmp_path / "a.py").write_text(
        "def momentum(w, g, v, lr=0.1, beta=0.9):\n    v = beta*v + (1 - beta)*g\n    return w - lr*v, v\n"
    )
    found = Lab(tmp_path / "runs").verify(str(tmp_path / "a.py"), against="momentum")
    assert found.equal
    assert found.verdict.reading == "the published exercise's settings (form ema)"
    said = [str(getattr(part, "text", part)) for part in found.parts()]
    assert "V <- beta*V + (1-beta)*g;  w <- w - lr*V" in said
    assert "V <- beta*V + (1-beta)*g;  w <- w - lr*V" in found.table().notes


def test_what_libraries_load_for_the_first_optimizer_is_no_step(warden, tmp_path):
    slow = "import time\nSLOW = [0.8]\n\n\nclass SGD:\n    def __init__(self, lr=0.1):\n        self.lr = lr\n"
    slow += "        time.sleep(SLOW.pop() if SLOW else 0)\n\n"
    slow += "    def update(self, w, g):\n        return w - self.lr*g\n"
    assert row(warden, tmp_path, slow, limits=Limits(0.4)).verdict == "equal"


def test_points_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = {"equal": 10, "explained": 6.5, "differs": 0, "timeout": 0, "error": 0}
    assert read_points("equal=10, explained=6.5") == expected
    assert is_pattern("s/*.py:A")
    assert not is_pattern("s/a.py:A")
    assert split("s/*.py:*") == split("s/*.py") == ("s/*.py", "")
    with pytest.raises(UsageError, match="no file"):
        files(["nowhere-*.py:A"])


def test_several_files_and_patterns_are_graded_together(optilab, tmp_path):
    for name in ("a1", "a2", "b1", "[c]"):
        (tmp_path / f"{name}.py").write_text(RULE)
    done = optilab("verify", "b*.py:SGD", "a*.py", "a1.py:SGD", "[c].py", "--against", "sgd", "--format", "csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["submission"] for row in rows] == ["[c].py", "a1.py", "a2.py", "b1.py"]
    assert {row["verdict"] for row in rows} == {"equal"}
    found = {
        "z*.py": "'z*.py'; see what is there: ls",
        "no/z*.py": "'no/z*.py': there is no directory no; see what",
    }
    for pattern, said in found.items():
        refused = optilab("verify", "a1.py", pattern, "--against", "sgd", code=2).stderr
        assert f"no file matches {said}" in refused
        assert refused.endswith(" ls\n")
    typed = optilab("verify", "a1.py", "a2.py", code=2).stderr
    assert "as in: optilab verify a1.py a2.py --against adam" in typed


def test_the_last_line_of_progress_is_that_of_the_last_file(monkeypatch, capsys):
    clock = iter([0, 11, 11, 12, 12, 13, 13])
    monkeypatch.setattr("optilab.verbs.verify.time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert list(_with_progress(iter("abc"), 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == ["optilab: graded 1 of 3", "optilab: graded 3 of 3"]


def test_a_first_row_that_takes_long_is_announced(monkeypatch):
    told = []
    monkeypatch.setattr("optilab.show.terminal.SILENCE", 0.01)
    monkeypatch.setattr("optilab.show.terminal.note", told.append)

    def rows():
        while not told:
            time.sleep(0.01)
        yield "a"

    assert list(_with_progress(rows(), 3)) == ["a"]
    assert told == ["grading 3 submissions: the first takes long on a busy machine"]
