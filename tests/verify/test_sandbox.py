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
from optilab.verify.compare import compare
from optilab.verify.sandbox import LEVELS, Sandbox, TimeLimit, running
from optilab.verify.submissions import grade_all, grade_file
from tests.kit.command import ROOT, environment, need, run
from tests.kit.processes import wait_until

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
WRONG = "def SGD(w, g, lr=0.01):\n    return w + 3 * lr * g * g\n"
CODE = yaml.safe_load((Path(__file__).parent / "hostile.yaml").read_text())
MARK = f"mark-{os.getpid()}"
"""The name of every process of a submission: `/proc/PID/comm`, which a fork inherits."""
NAMED = f"import ctypes\nctypes.CDLL(None).prctl(15, b'{MARK}')\n"


@pytest.fixture(params=LEVELS)
def level(request):
    if request.param == "bubblewrap":
        need("bwrap")
    if not sandbox.works(request.param):
        pytest.skip(f"{request.param} do not work here: no user namespaces")
    return request.param


def against_sgd(candidate):
    return compare(candidate, RULES["sgd"]())


def left():
    """The processes of submissions that still run."""
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            name, state = (Path("/proc", pid, file).read_text() for file in ("comm", "stat"))
            if name == f"{MARK}\n" and "Z" not in state.rpartition(")")[2]:
                pids.append(int(pid))
    return pids


@pytest.fixture
def row(tmp_path, monkeypatch):
    """The row of a source; nothing is left of it but as many processes as it says."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))

    def graded(source, level="", seconds=20.0, remains=0):
        file = tmp_path / "mine.py"
        file.write_text(NAMED + (source if "def SGD(" in source else source + RULE))
        box = Sandbox(seconds, 2048, level or sandbox.strongest_level())
        result = grade_file(file, "SGD", file.read_bytes, against_sgd, box)
        if remains:
            assert len(left()) == remains
            for pid in left():
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not left())
        assert not list((tmp_path / "copies").iterdir())
        assert len(result.explanation) < 2500
        assert len(result.output) <= 4000 * 4
        assert (result.explanation + result.name).replace("\n", "").isprintable()
        return result

    return graded


# --- hostile code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CODE["harmless"])
def test_odd_and_right_is_equal(row, level, name):
    """Limits alone leave what detaches itself."""
    remains = int(level == "limits" and name == "a daemon of a daemon")
    assert row(CODE["harmless"][name], level, remains=remains).verdict == "equal"


@pytest.mark.parametrize(
    ("words", "name"), [(words, name) for words in CODE["hostile"] for name in CODE["hostile"][words]]
)
def test_hostile_submission_costs_its_own_row(row, level, words, name):
    result = row(CODE["hostile"][words][name] + "\n", level, seconds=1.5)
    verdict, _, words = words.partition(": ")
    assert result.verdict == verdict, result
    assert words in result.explanation
    assert row(RULE, level).verdict == "equal"


@pytest.mark.parametrize("name", CODE["forged"])
def test_no_submission_writes_its_own_verdict(row, name):
    source = CODE["forged"][name]
    assert row(source if "def SGD(" in source else source + WRONG).verdict in ("differs", "error", "explained")


def test_the_number_of_processes_has_a_limit(row, level):
    """Not for root, whom the system lets start any number."""
    bomb = "import os, time\nfor n in range(400):\n    if os.fork() == 0:\n        time.sleep(600)\nprint('all')\n"
    assert row(bomb, level).verdict == ("equal" if os.geteuid() == 0 else "error")


PLACES = """
import os, socket
def is_open(place):
    try:
        if isinstance(place, int): socket.create_connection(("127.0.0.1", place), 1).close()
        elif place in os.environ: return True
        elif os.path.isdir(place): os.listdir(place)
        else: os.close(os.open(place, os.O_RDONLY))
    except OSError: return False
    return True
read = [name for name, place in PLACES.items() if is_open(place)]
"""


def test_which_of_ten_secret_places_can_be_read(row, level, tmp_path, monkeypatch):
    """None of them in a file system of its own; with limits alone, whatever the grader can read but its environment."""
    monkeypatch.setenv("GRADER_TOKEN", "s3cret")
    files = {"home": "home/.ssh/id", "another submission": "neighbor.py", "runs": "runs/one/run.json"}
    for file in files.values():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        places = {name: str(tmp_path / file) for name, file in files.items()}
        places |= {name: name for name in ("/home", "/etc/shadow", "/var", "/opt", "GRADER_TOKEN")}
        places |= {"process": f"/proc/{os.getpid()}/environ", "network": server.getsockname()[1]}
        exec(PLACES, here := {"PLACES": places})
        result = row(f"PLACES = {places}\n{PLACES}print(read)\n", level)
    readable = [place for place in here["read"] if place != "GRADER_TOKEN"]
    assert (result.verdict, result.output) == ("equal", f"{readable if level == 'limits' else []}\n")


@pytest.mark.parametrize("level", sandbox.ENCLOSED, indirect=True)
def test_no_file_outside_is_written_and_inside_few(row, level, tmp_path):
    """Not by root either, and no other submission is deleted."""
    (tmp_path / "neighbor.py").write_text(RULE)
    places = [f"{place}/optilab-test" for place in ("/usr", "/dev/shm", f"{ROOT}/optilab", f"{sys.prefix}/bin")]
    code = f"places = {places}\nimport os\nfor place in places:\n try: open(place, 'w'); print(place)\n"
    code += f" except OSError: pass\ntry: os.remove({str(tmp_path / 'neighbor.py')!r}); print('removed')\n"
    code += "except OSError: pass\ntry:\n for n in range(9): open(f'{n}', 'wb').write(b'x' * 2**23)\n"
    code += "except OSError as error: print(error)\n"
    assert row(code, level).output == "[Errno 28] No space left on device\n"
    assert not any(map(os.path.exists, places))
    assert (tmp_path / "neighbor.py").exists()


def test_a_lower_limit_of_the_user_holds(tmp_path):
    """It is no error that the time limit of all answers is longer."""
    (tmp_path / "right.py").write_text(RULE)
    limits = ["prlimit", "--cpu=60", "--nproc=9000", "--as=3000000000"]
    done = run(["grade", "right.py", "--against", "sgd"], tmp_path, "fresh", before=limits)
    assert "1 equal" in done.stdout, done


def test_a_changed_neighbor_is_graded_as_it_was(tmp_path):
    """With limits alone a submission may delete the others: they have been read."""
    for name in "abc":
        others = [str(tmp_path / f"{other}.py") for other in "abc" if other != name]
        (tmp_path / f"{name}.py").write_text(f"import os\nfor path in {others}:\n    open(path, 'w')\n{RULE}")
    submissions = {tmp_path / f"{name}.py": "SGD" for name in "abc"}
    rows = grade_all(submissions, {"sgd": against_sgd}, Sandbox(20.0, 2048, "limits"), 2)
    assert [result.verdict for result in rows] == ["equal"] * 3


def test_numbers_that_are_not_finite_pass(row):
    assert row("def SGD(w, g, lr=0.01):\n    return w * float('nan')\n").verdict == "differs"
    assert row("def SGD(w, g, lr=0.01):\n    return w / 0\n").verdict == "differs"


def test_a_system_that_isolates_nothing_grades_only_what_may_do_anything(optilab, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "works", lambda level: level == "limits")
    (tmp_path / "a.py").write_text(RULE)
    words = ("grade", "a.py", "--against", "sgd", "--feedback", "texts")
    refusal = optilab(*words, code=2).stderr
    assert "--no-isolation, with which a submission could read, change and delete your files" in refusal
    assert not (tmp_path / "texts").exists()
    last = optilab(*words, "--no-isolation").stdout.splitlines()[-1]
    assert last == "not isolated: a submission could read, change and delete your files"


def test_a_killed_grader_leaves_nothing(tmp_path, level):
    """Limits alone leave the directory with the copy."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "a.py").write_text(f"{NAMED}import time\nwhile True: pass\n")
    program = f"from optilab.verify import sandbox\nsandbox.strongest_level = lambda: {level!r}\n"
    program += "from optilab.__main__ import main\nmain()"
    command = [sys.executable, "-c", program, "grade", "a.py", "--against", "sgd"]
    command += ["--no-isolation"] * (level == "limits")
    variables = environment(TMPDIR=tmp_path / "out")
    grader = subprocess.Popen(command, cwd=tmp_path / "in", env=variables, stderr=subprocess.PIPE)
    wait_until(lambda: left() or grader.poll() is not None)
    grader.kill()
    assert grader.communicate()[1] == b""
    wait_until(lambda: not left())
    assert level == "limits" or not list((tmp_path / "out").iterdir())


# --- the file of `verify` ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("def f(w, g, lr, t):\n while t == 3: pass\n return w", TimeLimit, "step 3 took more than 1 s"),
        ("while True: pass", TimeLimit, "loading the file took more than 1 s"),
        (
            "import time\ndef f(w, g): time.sleep(0.5); return w",
            TimeLimit,
            r"up to step \d+ together took more than 2 s",
        ),
        ("import os\ndef f(w, g, lr): os.kill(os.getpid(), 9)", UsageError, "ended the process \\(signal 9\\)"),
        ("import os\nos._exit(0)", UsageError, "ended the process \\(exit status 0\\)"),
        ("def f(w, g): raise KeyboardInterrupt", UsageError, "step 1: line 1: KeyboardInterrupt"),
        ("def f(w, g, lr): return w - 2 * lr * g", None, ""),
    ],
)
def test_failure_costs_a_sentence(tmp_path, monkeypatch, source, error, words):
    """Other code has the verdict of this process."""
    assert sandbox.TOTAL_LIMITS == 10
    monkeypatch.setattr(sandbox, "TOTAL_LIMITS", 2)
    path = tmp_path / "mine.py"
    path.write_text(source)
    with running(path, None, "f", "", Sandbox(1.0 if error else 30.0)) as submission:
        if error is None:
            assert compare(submission.load(), RULES["sgd"]()) == compare(load(f"{path}:f"), RULES["sgd"]())
            return
        with pytest.raises(error, match=words):
            compare(submission.load(), RULES["sgd"]())


def test_verify_passes_no_file_that_ends_its_process(optilab, tmp_path):
    """The output of the file is in no document; it may close its end of the connection."""
    (tmp_path / "exits.py").write_text(f"import os\nos._exit(0)\n{RULE}")
    (tmp_path / "right.py").write_text(f"print('hello')\n{RULE}")
    refused = optilab("verify", "exits.py:SGD", "--against", "sgd", how="fresh", code=2)
    assert refused.stderr == "optilab: exits.py: the code ended the process (exit status 0)\n"
    printing = optilab("verify", "right.py:SGD", "--against", "sgd", "--json", how="fresh")
    assert json.loads(printing.stdout)["equal"]
    assert "hello" in printing.stderr
