"""`optilab runs compare` as a person sees it."""

import csv
import io
import json

import pytest

from optilab.answer.comparison_tables import Units
from tests.kit.command import python
from tests.kit.generated import training


@pytest.fixture
def compared(tmp_path):
    """Three groups of five seeds: batch norm is clearly better than none and close to layer norm."""
    levels = {
        "none": (0.70, 0.71, 0.69, 0.72, 0.68),
        "batch": (0.85, 0.86, 0.84, 0.86, 0.85),
        "layer": (0.845, 0.862, 0.836, 0.851, 0.853),
    }
    for norm, by_seed in levels.items():
        for seed, level in enumerate(by_seed, start=42):
            accuracies = [level * (1 - 0.5**epoch) for epoch in range(1, 11)]
            changes = (f"seed={seed}", f"model.norm={norm}", "epochs=10")
            training(tmp_path / "runs", f"{norm}-{seed}", *changes, accuracies=accuracies)
    return tmp_path


def test_pattern_leaves_out_what_is_no_training(optilab, compared):
    optilab("optimize", "adam", "--epochs", 2, "--name", "path")
    shown = optilab("runs", "compare", "*").stdout
    assert "verdict: norm batch" in shown
    assert "note: 1 run of optilab optimize is left out: not trainings\n" in shown
    exported = optilab("runs", "export", "*", "--out", "rows.csv", "--json")
    assert json.loads(exported.stdout)["left_out"] == {"path": "optilab optimize"}


def test_difference_shown_as_zero_has_no_sign():
    differences = (0.0, -0.0004, 0.0004, -0.0006)
    assert [Units(is_fraction=True).difference(value) for value in differences] == ["0.0", "0.0", "0.0", "-0.1"]


def test_csv_and_json_hold_the_values(optilab, compared):
    document = json.loads(optilab("runs", "compare", "*", "--format", "json").stdout)
    assert document == json.loads(optilab("runs", "compare", "*", "--json").stdout)
    rows = {
        row["group"]: row
        for row in csv.DictReader(io.StringIO(optilab("runs", "compare", "*", "--format", "csv").stdout))
    }
    for group in document["groups"]:
        row, summary = rows[group["group"]], group["summary"]
        assert row["model.norm.name"] == group["settings"]["model.norm.name"]
        assert [float(row["mean"]), float(row["low"]), float(row["high"])] == [
            summary["mean"],
            *summary["interval"],
        ]
        if contrast := group["contrast"]:
            ends = [float(row["difference_low"]), float(row["difference_high"])]
            assert ends == contrast["interval"]
            assert (row["verdict"], float(row["p"])) == (contrast["verdict"], contrast["p"])
    assert document["order"] == ["norm batch", "norm layer", "norm none"]
    assert document["verdict"].startswith("norm batch has the highest last val_acc: 85.1%")
    assert document["groups"][0]["outcomes"].keys() == {"42", "43", "44", "45", "46"}


def test_quiet_prints_the_groups_that_can_be_the_best(optilab, compared):
    assert optilab("runs", "compare", "*", "--quiet").stdout.split("\n") == ["norm batch", "norm layer", ""]
    assert optilab("runs", "compare", "batch-*", "none-*", "-q").stdout == "norm batch\n"


def test_one_seed_gives_no_verdict_against_a_baseline(optilab, compared):
    said = "verdict: one seed gives no verdict, three may; by last val_acc: norm batch 84.9%, norm none 69.9%\n"
    assert said in optilab("runs", "compare", "*-42", "--baseline", "norm none").stdout
    assert (
        "norm batch is better than norm none"
        in optilab("runs", "compare", "batch-*", "none-*", "--baseline", "norm none").stdout
    )


def test_compare_needs_no_torch(compared):
    program = (
        "import atexit, sys\n"
        "slow = {'torch', 'matplotlib', 'pandas', 'scipy.stats'}\n"
        "atexit.register(lambda: print(sorted(slow & set(sys.modules)), file=sys.stderr))\n"
        "from optilab.__main__ import main\n"
        "sys.argv = ['optilab', 'runs', 'compare', '*']\n"
        "main()\n"
    )
    assert python(program, compared).stderr.splitlines()[-1] == "[]"


def test_tables_name_no_home_directory(optilab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def damped(w, g, lr=0.1):\n    return w - lr * g\n")
    training(tmp_path / "runs", "own", "optimizer={name: mine.py:damped}", accuracies=[0.5])
    training(tmp_path / "runs", "plain", accuracies=[0.4])
    for command in (("compare", "*", "--format", "latex"), ("ls",), ("export", "*", "--out", "all.csv")):
        done = optilab("runs", *command)
        written = done.stdout + ((tmp_path / "all.csv").read_text() if "all.csv" in command else "")
        assert "mine.py:damped" in written
        assert str(tmp_path) not in written
