"""Two simulated desks: the portable tests pass at each, and what is gone there is gone in every process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.desks.names import MODULES, WHOLE, gone, is_gone

ROOT = Path(__file__).parents[2]
SYSTEMS = ("win32", "darwin")

pytestmark = pytest.mark.skipif(sys.platform != "linux" or "DESK" in os.environ, reason="there is a desk already")


@pytest.fixture(params=SYSTEMS)
def desk(request, tmp_path):
    """The environment of a process at a simulated desk."""
    (tmp_path / "processes").mkdir()
    facts = {
        "system": request.param,
        "gone": {module: gone(module, request.param) for module in MODULES},
        "modules": [module for module in WHOLE if is_gone(module, request.param)],
        "processes": str(tmp_path / "processes"),
    }
    (file := tmp_path / "desk.json").write_text(json.dumps(facts), encoding="utf-8", newline="\n")
    path = os.pathsep.join([str(Path(__file__).parent / "desk"), str(ROOT)])
    left_out = ("OPTILAB_", "PYTEST", "PYTHON", "NO_COLOR", "COLUMNS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    encoding = "cp1252" if request.param == "win32" else "utf-8"
    return {**kept, "DESK": str(file), "PYTHONPATH": path, "PYTHONIOENCODING": encoding, "SYSTEM": request.param}


def python(desk, folder, *words):
    """The output of a process at the desk."""
    command = [sys.executable, *words]
    encoding = desk["PYTHONIOENCODING"]
    done = subprocess.run(command, cwd=folder, env=desk, capture_output=True, encoding=encoding, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


LOOK = """
import json, os, subprocess, sys

code = '''
import importlib
def there(module, name):
    try:
        module = importlib.import_module(module) if name else __import__(module)
    except ModuleNotFoundError:
        return False
    return not name or hasattr(module, name)
'''
facts = json.load(open(os.environ["DESK"], encoding="utf-8"))
names = [(module, "") for module in facts["modules"]]
names += [(module, name) for module, missing in facts["gone"].items() for name in missing]
for caller in ("optilab.looks", "a_library"):
    exec(code, names_of := {"__name__": caller})
    print([names_of["there"](*name) for name in names].count(True), len(names))
if "again" not in sys.argv:
    again = [sys.executable, "-P", sys.argv[0], "again"]
    print(subprocess.run(again, env={}, stdout=subprocess.PIPE, encoding="utf-8").stdout)
"""
"""Count the names that optilab finds, and those that a library of Linux finds; then do the same in a child."""


def test_what_is_gone_is_gone_in_every_process(desk, tmp_path):
    (tmp_path / "look.py").write_text(LOOK, encoding="utf-8", newline="\n")
    out = python(desk, tmp_path, "look.py").split()
    assert out[:4] == out[4:] == ["0", out[1], out[1], out[1]]
    assert int(out[1]) > 100


BEHAVIOR = """
import os, select, subprocess, sys, tempfile
from pathlib import Path

def new(text=b""):
    new.count += 1
    (file := Path(f"folder{new.count}", "file")).parent.mkdir()
    file.write_bytes(text)
    return file

new.count = 0
opened, reading = open(new()), os.pipe()[0]
for error, what, call in (
    (RuntimeError, "fork", lambda: os.fork() or os._exit(0)),
    (PermissionError, "delete an open file", lambda: Path(opened.name).unlink()),
    (PermissionError, "replace an open file", lambda: (file := open(new()), os.replace(new(), file.name))),
    (PermissionError, "rename an open file", lambda: (file := open(new()), os.rename(file.name, "renamed"))),
    (PermissionError, "rename its directory", lambda: (f := open(new()), os.rename(Path(f.name).parent, "other"))),
    (PermissionError, "open a directory", lambda: os.open(new().parent, os.O_RDONLY)),
    (FileExistsError, "rename over a file", lambda: os.rename(new(), new())),
    (OSError, "a colon in a name", lambda: Path("a:b").mkdir()),
    (OSError, "the name of a device", lambda: Path("nul.txt").write_bytes(b"")),
    (OSError, "wait for a pipe", lambda: select.select([reading], [], [], 0)),
    (ValueError, "hand over a descriptor", lambda: subprocess.run(["true"], pass_fds=[reading])),
    (UnicodeEncodeError, "write what the code page lacks", lambda: new().write_text("\\u2260")),
):
    try:
        call()
        print(what)
    except (error, AttributeError):
        pass
file = new()
file.write_text("\\u20ac\\n")
print(file.read_bytes())
os.replace(file, file.with_name("closed"))
file.with_name("closed").unlink()
file.parent.rmdir()
tempfile.TemporaryFile().close()
"""
"""What Windows refuses; prints what was possible."""


def test_files_and_processes_are_those_of_windows(desk, tmp_path):
    (tmp_path / "behavior.py").write_text(BEHAVIOR, encoding="utf-8", newline="\n")
    possible = python(desk, tmp_path, "behavior.py").splitlines()
    if desk["SYSTEM"] == "win32":
        assert possible == [r"b'\x80\r\n'"]
    else:
        assert possible[-1] == r"b'\xe2\x82\xac\n'"
        assert len(possible) == 12


@pytest.mark.nightly
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_name_is_used_that_another_system_lacks(system, tmp_path):
    """The package's types hold with the names of each system, which mypy knows."""
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path), "optilab"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    *wrong, _ = done.stdout.splitlines()
    assert wrong  # of system.py, which knows better
    assert [line for line in wrong if not line.startswith(str(Path("optilab", "system.py:")))] == []


def portable(desk, tmp_path, markers):
    """Run the portable tests in a process at the desk."""
    words = ("-m", markers, "-n", "0", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests"))
    out = python(desk, ROOT, "-m", "pytest", *words, "tests/desks")
    assert re.search(r"\d+ passed", out), out


@pytest.mark.nightly
def test_the_portable_tests_pass_at_a_desk(desk, tmp_path):
    portable(desk, tmp_path, "portable and not nightly")


@pytest.mark.parametrize("desk", ["win32", "darwin"], indirect=True)
@pytest.mark.nightly
def test_the_slow_portable_tests_pass_at_a_desk(desk, tmp_path):
    portable(desk, tmp_path, "portable and nightly")
