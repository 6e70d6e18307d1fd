"""A hostile submission costs its own row and leaves nothing, whatever isolates it; what limits alone do not prevent."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from optilab.errors import UsageError
from optilab.optimize import RULES
from optilab.verify import sandbox
from optilab.verify.candidate import load
from optilab.verify.classroom import grade_file
from optilab.verify.compare import compare
from optilab.verify.sandbox import LEVELS, Sandbox, TimeLimit, remove_tree, running
from tests.pages import ROOT
from tests.processes import missing_tools, wait_until

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
WRONG = "def SGD(w, g, lr=0.01):\n    return w + 3 * lr * g * g\n"
CODE = yaml.safe_load((Path(__file__).parent / "hostile.yaml").read_text())
MARK = f"mark-{os.getpid()}"
"""The name of every process of a submission: `/proc/PID/comm`, which a fork inherits."""
NAMED = f"import ctypes\nctypes.CDLL(None).prctl(15, b'{MARK}')\n"


@pytest.fixture(params=LEVELS)
def level(request):
    if request.param == "bubblewrap" and missing_tools("bwrap"):
        pytest.skip("bubblewrap is not installed: apt-get install bubblewrap")
    if not sandbox.works(request.param):
        pytest.skip(f"{request.param} do not work here: no user namespaces")
    return request.param


def left():
    """The processes of submissions that still run."""
    pids = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if (
                comm.read_text() == f"{MARK}\n"
                and "Z" not in (comm.parent / "stat").read_text().rpartition(")")[2]
            ):
                pids.append(int(comm.parent.name))
    return pids


@pytest.fixture
def row(tmp_path, monkeypatch):
    """The row of a source; nothing is left of it, and its neighbor is graded as if it were alone."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))

    def graded(source, level="", seconds=20.0, remains=0):
        level = level or sandbox.strongest_level()
        (tmp_path / "mine.py").write_text(NAMED + source)
        box = Sandbox(seconds, 2048, level)
        result = grade_file(tmp_path / "mine.py", "SGD", lambda mine: compare(mine, RULES["sgd"]()), box)
        if remains:
            assert len(left()) == remains
            for pid in left():
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not left())
        assert not list((tmp_path / "copies").iterdir())
        assert len(result.explanation) < 2500
        assert len(result.output) <= 4000 * 4
        assert result.explanation.replace("\n", "").isprintable()
        return result

    return graded


# --- hostile code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODE["harmless"])
def test_odd_and_right_is_equal(row, level, name):
    source = CODE["harmless"][name]
    remains = int(level == "limits" and name == "a daemon of a daemon")
    assert row(source if "def SGD" in source else source + RULE, level, remains=remains).verdict == "equal"


@pytest.mark.parametrize("name", CODE["hostile"])
def test_hostile_submission_costs_its_own_row(row, level, name):
    verdict, _, words = CODE["hostile"][name]["row"].partition(": ")
    code = CODE["hostile"][name]["code"]
    result = row(code if "def SGD" in code else code + RULE, level, seconds=1.5)
    assert result.verdict == verdict, result
    assert words in result.explanation
    assert row(RULE, level).verdict == "equal"


@pytest.mark.parametrize("name", CODE["forged"])
def test_no_submission_writes_its_own_verdict(row, name):
    source = CODE["forged"][name]
    assert row(source if "def SGD(" in source else source + WRONG).verdict in ("differs", "error", "explained")


def test_the_number_of_processes_has_a_limit(row, level):
    """Not for root, whom the system lets start any number, and not where the user's other processes would count."""
    bomb = "import os, time\nfor n in range(300):\n    if os.fork() == 0:\n        time.sleep(600)\nprint('all')\n"
    result = row(bomb + RULE, level)
    assert result.verdict == ("equal" if os.geteuid() == 0 or level == "limits" else "error")


SECRETS = """
import os
def readable(place):
    try:
        return bool(os.listdir(place) if os.path.isdir(place) else open(place, 'rb').read(1))
    except OSError:
        return False
print([place for place in PLACES if readable(place)], os.environ.get('GRADER_TOKEN'))
"""


def test_what_is_not_its_own_cannot_be_read(row, level, tmp_path, monkeypatch):
    """Limits alone close nothing but the environment."""
    monkeypatch.setenv("GRADER_TOKEN", "s3cret")
    files = [tmp_path / ".ssh" / "id", tmp_path / "neighbor.py", Path(tempfile.gettempdir(), "..", "notes")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("secret")
    system = ["/etc/passwd", "/var", "/opt", "/srv", "/home", f"/proc/{os.getpid()}/environ"]
    places = [*map(str, files), str(ROOT / "pyproject.toml"), *system]
    there = [place for place in places if not os.path.isdir(place) or os.listdir(place)]
    expected = there if level == "limits" else []
    result = row(f"PLACES = {places}\n{SECRETS}{RULE}", level)
    assert (result.verdict, result.output) == ("equal", f"{expected} None\n")


ATTEMPTS = """
import os, socket
for attempt in (lambda: socket.create_connection(("127.0.0.1", PORT), 1), lambda: os.remove(NEIGHBOR)):
    try:
        attempt()
        print("done")
    except OSError:
        print("refused")
"""


def test_neither_network_nor_neighbor_is_reached(row, level, tmp_path):
    (tmp_path / "neighbor.py").write_text(RULE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = row(f"PORT, NEIGHBOR = {port}, {str(tmp_path / 'neighbor.py')!r}\n{ATTEMPTS}{RULE}", level)
    open_ = level == "limits"
    assert result.output.split() == ["done" if open_ else "refused"] * 2
    assert (tmp_path / "neighbor.py").exists() is not open_


@pytest.mark.parametrize("level", ["bubblewrap", "namespaces"], indirect=True)
def test_no_file_outside_is_written(row, level):
    """Not by root either."""
    places = ["/usr/optilab-test", f"{ROOT}/optilab/optilab_test.py", f"{sys.prefix}/optilab-test"]
    write = f"for place in {places}:\n    try: open(place, 'w'); print(place)\n    except OSError: pass\n"
    assert row(write + RULE, level).output == ""
    assert not any(map(os.path.exists, places))


def test_numbers_that_are_not_finite_pass(row):
    assert row("def SGD(w, g, lr=0.01):\n    return w * float('nan')\n").verdict == "differs"
    assert row("def SGD(w, g, lr=0.01):\n    return w / 0\n").verdict == "differs"


def test_a_killed_grader_leaves_nothing(tmp_path, level):
    """Limits alone leave the directory with the copy."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.py").write_text(f"{NAMED}import time\nwhile True: pass\n")
    program = f"from optilab.verify import sandbox\nsandbox.strongest_level = lambda: {level!r}\n"
    program += "from optilab.__main__ import main\nmain()"
    command = [sys.executable, "-c", program, "grade", "a.py", "--against", "sgd"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "out"), "PYTHONPATH": str(ROOT)}
    grader = subprocess.Popen(command, cwd=tmp_path / "in", env=environment, stderr=subprocess.PIPE)
    wait_until(lambda: left() or grader.poll() is not None)
    grader.kill()
    assert grader.communicate()[1] == b""
    wait_until(lambda: not left())
    assert level == "limits" or not list((tmp_path / "out").iterdir())


def test_a_deep_directory_is_removed(tmp_path):
    (tmp_path / "copy").mkdir()
    deep = "import os\nfor _ in range(1500): os.mkdir('d' * 20); os.chdir('d' * 20)\nos.chmod('.', 0)\n"
    subprocess.run([sys.executable, "-c", deep], cwd=tmp_path / "copy", check=True)
    remove_tree(str(tmp_path / "copy"))
    assert not list(tmp_path.iterdir())


# --- the file of `verify` ----------------------------------------------------------------------------------


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
            "import time\ndef f(w, g, lr): time.sleep(0.5); return w",
            TimeLimit,
            "all answers up to step 20 together",
        ),
        ("import os\ndef f(w, g, lr): os.kill(os.getpid(), 9)", UsageError, "ended the process \\(signal 9\\)"),
        ("import os\nos._exit(0)", UsageError, "ended the process \\(exit status 0\\)"),
        ("def f(w, g): raise KeyboardInterrupt", UsageError, "step 1: line 1: KeyboardInterrupt"),
        ("def f(w, g, lr): return w - 2 * lr * g", None, ""),
    ],
)
def test_failure_costs_a_sentence(tmp_path, source, error, words):
    """Other code has the verdict of this process."""
    path = tmp_path / "mine.py"
    path.write_text(source)
    with running(path, None, "f", "", Sandbox(1.0 if error else 30.0)) as submission:
        if error is None:
            assert compare(submission.load(), RULES["sgd"]()) == compare(load(f"{path}:f"), RULES["sgd"]())
            return
        with pytest.raises(error, match=words):
            compare(submission.load(), RULES["sgd"]())


def test_verify_passes_no_file_that_ends_its_process(optilab_process, tmp_path):
    """What the file prints is in no document; it may close its end of the connection."""
    (tmp_path / "exits.py").write_text(f"import os\nos._exit(0)\n{RULE}")
    (tmp_path / "right.py").write_text(f"print('hello')\n{RULE}")
    refused = optilab_process("verify", "exits.py:SGD", "--against", "sgd", code=2)
    assert refused.stderr == "optilab: exits.py: the code ended the process (exit status 0)\n"
    printing = optilab_process("verify", "right.py:SGD", "--against", "sgd", "--json")
    assert json.loads(printing.stdout)["equal"]
    assert "hello" in printing.stderr
