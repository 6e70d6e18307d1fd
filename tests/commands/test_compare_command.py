"""`optilab runs compare` as a person sees it."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from optilab.commands.compare import pairs_chart
from optilab.commands.comparison_tables import Units
from optilab.show.chart import Polyline
from optilab.study.comparison import compare_runs
from optilab.study.groups import Measure, select
from tests.study.generated import training


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


def test_a_pattern_means_trainings_and_a_name_what_it_names(optilab, compared):
    optilab("optimize", "adam", "--epochs", 2, "--name", "path")
    shown = optilab("runs", "compare", "*").stdout
    assert "verdict: norm batch" in shown
    assert "note: 1 run of optilab optimize is left out: not trainings\n" in shown
    exported = optilab("runs", "export", "*", "--out", "rows.csv", "--json")
    assert json.loads(exported.stdout)["left_out"] == {"path": "optilab optimize"}
    assert "1 run of optilab optimize is left out" in exported.stderr
    refused = optilab("runs", "compare", "*", "path", code=2).stderr
    assert "expected trainings, and path is a run of `optilab optimize`" in refused
    assert "optilab optimize runs/path/config.yaml --no-save --out path.png" in refused
    assert "expected trainings" in optilab("runs", "compare", "p*", code=2).stderr


def test_a_pattern_means_trials_of_a_study_and_runs_of_a_directory(optilab, small):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1,2", "--epochs", 1, "--name", "s", "--quiet")
    for one, other in (("s/0.1*", "s/2-*"), ("runs/s/0.1*", "runs/s/2-*")):
        assert "optimizer.lr (0.1, 2) " in optilab("runs", "compare", one, other).stdout
    assert "no run in runs/s matches '7*'" in optilab("runs", "compare", "s/7*", code=4).stderr
    assert "no run in / matches" in optilab("runs", "compare", "/*", code=4).stderr
    assert "no run in runs matches" in optilab("runs", "compare", "a" * 300 + "*", code=4).stderr
    for pattern in ("s/0.1*", "/*", "runs/*"):
        assert "expected one run, got the pattern" in optilab("runs", "rm", pattern, "--yes", code=2).stderr
    optilab("optimize", "adam", "--epochs", 1, "--name", "path", "--quiet")
    assert "path is a run of" in optilab("runs", "compare", "s/*", "runs/path", code=2).stderr
    (line,) = re.findall("`optilab (.*)` lists its runs", optilab("runs", "show", "s/0*", code=2).stderr)
    assert "0.1-s42" in optilab(*line.split()).stdout


def test_of_several_that_may_be_the_best_the_one_that_seeds_would_exclude_is_named(optilab, compared):
    for seed, level in enumerate((0.83, 0.865, 0.82, 0.84, 0.87), start=42):
        changes = (f"seed={seed}", "model.norm=batch", "data.batch_size=7", "epochs=10")
        training(
            compared / "runs", f"small-{seed}", *changes, accuracies=[level * (1 - 0.5**e) for e in range(1, 11)]
        )
    output = optilab("runs", "compare", "*").stdout
    assert "cannot tell it from 2 of the 3 others; if the difference is real, " in output
    assert (
        'further seeds would, with a probability of 80%, show that "norm batch, batch_size 7" is worse' in output
    )


def test_a_difference_that_is_shown_as_zero_has_no_sign():
    assert [Units(share=True).difference(value) for value in (0.0, -0.0004, 0.0004, -0.0006)] == [
        "0.0",
        "0.0",
        "0.0",
        "-0.1",
    ]
    assert Units(share=False).difference(0.0) == "0"


def test_a_target_that_no_run_reached_has_no_verdict_on_its_time(optilab, compared):
    said = "verdict: epochs to 99.9%: no run reached it; choose an easier target, or train longer"
    two = ["batch-*", "none-*"]
    for asked in (two, ["none-*"], [*two, "--baseline", "none"]):
        output = optilab("runs", "compare", *asked, "--target", "0.999").stdout
        assert said in output.splitlines()
        assert "is the best" not in output


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


def test_it_starts_without_torch_and_matplotlib(compared):
    program = (
        "import atexit, sys\n"
        "slow = {'torch', 'matplotlib', 'pandas', 'scipy.stats'}\n"
        "atexit.register(lambda: print(sorted(slow & set(sys.modules)), file=sys.stderr))\n"
        "from optilab.__main__ import main\n"
        "sys.argv = ['optilab', 'runs', 'compare', '*']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=compared, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"


def test_no_table_says_in_whose_home_an_optimizer_is(optilab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def damped(w, g, lr=0.1):\n    return w - lr * g\n")
    training(tmp_path / "runs", "own", "optimizer={name: mine.py:damped}", accuracies=[0.5])
    training(tmp_path / "runs", "plain", accuracies=[0.4])
    for command in (("compare", "*", "--format", "latex"), ("ls",), ("export", "*", "--out", "all.csv")):
        done = optilab("runs", *command)
        written = done.stdout + ((tmp_path / "all.csv").read_text() if "all.csv" in command else "")
        assert "mine.py:damped" in written
        assert str(tmp_path) not in written


def test_rows_that_no_pair_tells_apart_are_joined_by_a_bar(optilab, compared):
    optilab("runs", "compare", "*", "--pairs", "--out", "pairs.svg")
    picture = (compared / "pairs.svg").read_text()
    assert "optilab runs compare" in picture
    side = compare_runs(select(compared / "runs", ["*"]).records, Measure(), pairs=True)
    (panel,) = pairs_chart(side).rows[0].panels
    assert panel.y.names == ("a", "norm none", "norm layer", "norm batch")  # upwards; none is alike to itself only
    (bar,) = [mark for mark in panel.marks if isinstance(mark, Polyline) and mark.series == 1]
    means = {row.key: row.summary.mean for row in side.comparison.rows}
    assert bar.x == sorted(means[i] for i, own in enumerate(side.candidates) if own.label != "norm none")
    assert bar.y == [1.0, 1.0]


def test_claims_on_what_the_runs_do_not_have(compared, optilab):
    for claim, answer in (
        ("val_acc at 99 > 0.3", "val_acc at 99 > 0.3: there is no epoch 99, the last is 10"),
        (
            "best: test_acc > 0.3",
            "--expect: test_acc needs a test set that was kept for the end; train: optilab train --config",
        ),
        (
            "test_acc > 0.3",
            "--expect: test_acc needs a test set that was kept for the end; train: optilab train --config",
        ),
    ):
        assert answer in optilab("check", "batch-42", "--expect", claim, code=2).stdout
