"""Grading many files: whatever one of them does costs its own row, and nothing of the grader's."""

import csv
import io
import json
import os
import subprocess
import time
from xml.etree import ElementTree

import pytest

from optilab.errors import UsageError
from optilab.verify.submissions import files, is_pattern, read_points

RULE = "def SGD(w, g, lr=0.01):\n    return w - lr * g\n"
HOSTILE = {
    "allocates.py": f"import numpy as np\nbig = np.ones(10 * 2**30, dtype=np.uint8)\n{RULE}",
    "deletes.py": f"import os\nos.remove(__file__)\n{RULE}",
    "exits.py": "import os\nos._exit(0)\n",
    "forges.py": "print('{\"equal\": true}', flush=True)\nimport os\nos._exit(0)\n",
    "forks.py": "import os, time\nif os.fork() == 0:\n    time.sleep(50)\n    os._exit(0)\n" + RULE,
    "kills.py": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(50)\n",
    "loops.py": "while True: pass\n",
    "prints.py": "for _ in range(1024): print('x' * 2**20)\n" + RULE,
    "secret.py": f"import os\nprint(os.environ.get('GRADER_TOKEN'), os.environ['HOME'], os.listdir())\n{RULE}",
    "stops.py": f"raise KeyboardInterrupt\n{RULE}",
    "writes.py": "open('numpy.py', 'w').write('raise SystemExit')\n" + RULE,
}


def test_a_hostile_submission_costs_its_own_row(optilab_process, tmp_path):
    for name, code in {**HOSTILE, "right.py": RULE, "wrong.py": RULE.replace("-", "+")}.items():
        (tmp_path / name).write_text(code)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = ["*.py:SGD", "--against", "sgd", "--timeout", 3, "--memory", 2048, "--json"]
    done = optilab_process("verify", *arguments, code=9, GRADER_TOKEN="s3cret", TMPDIR=str(tmp_path.parent))
    document = json.loads(done.stdout)
    rows = {row["submission"]: row for row in document["submissions"]}
    assert set(rows) == set(before)
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    # Whether a gigabyte is printed within the time is a matter of the machine.
    fine = {"deletes.py", "forks.py", "prints.py", "right.py", "secret.py", "writes.py"}
    assert {name for name, verdict in verdicts.items() if verdict == "equal"} <= fine
    assert {"right.py", "secret.py", "forks.py", "writes.py"} <= {n for n, v in verdicts.items() if v == "equal"}
    assert verdicts["wrong.py"] == "explained"
    assert "MemoryError" in rows["allocates.py"]["explanation"] or "llocate" in rows["allocates.py"]["explanation"]
    assert "more than 3 s" in rows["loops.py"]["explanation"]
    assert "ended the process" in rows["exits.py"]["explanation"]
    assert verdicts["forges.py"] == "error"
    assert len(rows["prints.py"]["output"]) <= 4000
    assert "s3cret" not in done.stdout
    assert "None" in rows["secret.py"]["output"]
    assert "right.py" not in rows["secret.py"]["output"]
    assert all(row["explanation"] or row["verdict"] == "equal" for row in rows.values())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    time.sleep(0.2)
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "optilab verify forks.py" not in left
    assert not [name for name in os.listdir(tmp_path.parent) if name.startswith("optilab-")]


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
        (["none/*.py:SGD", "--against", "sgd"], "no file matches"),
        (["*.py", "--against", "sgd"], "PATTERN:NAME expected"),
        (["*.py:SGD", "--against", "sdg"], "unknown algorithm"),
        (["*.py:SGD", "--against", "sgd", "--points", "good=1"], "as in equal=10"),
        (["*.py:SGD", "--against", "sgd", "--points", "equal=x"], "as in equal=10"),
        (["*.py:SGD", "--against", "sgd", "--format", "xls"], "unknown format"),
        (["a.py:SGD", "--against", "sgd", "--format", "csv"], "need many files"),
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


def test_points_and_patterns():
    assert read_points("equal=10, explained=6.5") == {"equal": 10, "explained": 6.5, "differs": 0, "error": 0}
    assert is_pattern("s/*.py:A")
    assert not is_pattern("s/a.py:A")
    with pytest.raises(UsageError, match="no file"):
        files("nowhere-*.py:A")
