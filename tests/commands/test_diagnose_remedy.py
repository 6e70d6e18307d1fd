"""`optilab diagnose`, `optilab remedy` and the end of `optilab train`, as a user meets them."""

import json
import re
import signal
from pathlib import Path

import pytest

from optilab.config.load import load
from optilab.config.presets import presets
from optilab.config.training import TrainConfig
from optilab.diagnose.remedies import AS_IT_IS, REMEDIES, REMEDY
from optilab.judge.comparison import compare_runs
from optilab.judge.judge import alpha
from optilab.judge.measure import Measure
from optilab.lab import Lab
from optilab.runs import read, read_diagnostics
from optilab.study.remedy import UNCHANGED, Variant, smallest_fix
from tests.kit.generated import training
from tests.kit.processes import start, templates, trial_processes, wait_until
from tests.kit.template import fork_the_template

SIGMOIDS = ("--set", "model.hidden=[16, 16, 16, 16, 16, 16]", "--set", "model.activation=sigmoid", "--lr", "0.01")


def test_diagnosing_a_run_and_trying_its_remedy(optilab, small, tmp_path):
    optilab("train", "--config", small, *SIGMOIDS, "--name", "flat", "--quiet")
    document = json.loads(optilab("diagnose", "flat", "--json", "--fail-on", "warning", code=9).stdout)
    assert document["schema_version"] == 4
    assert document["healthy"] is False
    stored = [*read_diagnostics(tmp_path / "runs" / "flat")][-1]["layers"]
    assert len(stored) == 7  # six hidden layers and the output
    assert document["layers"] == stored
    first = document["findings"][0]
    assert first["finding"] == "vanishing-gradient"
    assert first["threshold"] == "below 0.05"
    assert first["severity"] == "critical"
    assert first["evidence"]["gradient_ratio"] < 0.05
    words = first["remedies"][0].split()
    assert words[:2] == ["optilab", "train"]
    optilab(*words[1:], "--quiet")  # a remedy runs as it is printed


def test_run_with_the_name_of_a_preset_is_the_run(optilab, small):
    optilab("train", "--config", small, *SIGMOIDS, "--name", "sigmoid", "--quiet")
    (first, *_) = json.loads(optilab("diagnose", "sigmoid", "--json").stdout)["findings"]
    assert first["remedies"][0].startswith("optilab train --config runs/sigmoid/config.yaml")


FAILING = {  # what fails in the study -> the rule that says why
    "sigmoid": ["vanishing-gradient"],
    "momentum": ["vanishing-gradient"],
    "xavier": ["vanishing-gradient"],
    "weight-std10": ["weights-too-large"],
    "published/sigmoid": ["vanishing-gradient"],
    "published/adopt": ["eps-dominates"],
}
SUBTLE = {"gradient-norm", "optimizers/shampoo", "published/relu"}
"""Large or tiny steps by design: a few of them look like a wrong rate."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(preset.name, marks=() if preset.name in SUBTLE else pytest.mark.release)
        for preset in presets("train")
    ],
)
def test_probe_tells_whether_a_preset_works(name, optilab):
    findings = json.loads(optilab("diagnose", name, "--json").stdout)["findings"]
    assert [finding["finding"] for finding in findings if finding["severity"] != "info"] == FAILING.get(name, [])


def test_remedies_are_compared_side_by_side(optilab, small, tmp_path):
    for module in ("numpy", "random", "typing"):  # the trainings are processes: none may import these
        (tmp_path / f"{module}.py").write_text("open('canary', 'w')\n")
    arguments = ["remedy", small, "--only", "tanh,batchnorm,skip", "--seeds", 2, "--epochs", 2, "--name", "table"]
    document = json.loads(optilab(*arguments, "--json").stdout)
    assert not (tmp_path / "canary").exists()
    rows = {row["remedy"]: row for row in document["remedies"]}
    assert list(rows) == ["as it is", "tanh", "batchnorm", "skip"]
    assert rows["tanh"]["changes"] == {"model.activation": "tanh"}
    assert [group["group"] for group in document["comparison"]["groups"]] == ["as it is", "tanh", "batchnorm"]
    assert document["comparison"]["baseline"] == "as it is"
    assert "expected two hidden layers" in rows["skip"]["state"]  # the network has no layers 3 and 5
    # Each trial is a run that repeats alone to the same bits.
    path = _trial(tmp_path / "runs" / "table", "tanh-s42")
    again = optilab("train", "--config", path / "config.yaml", "--quiet", "--name", "again").stdout.strip()
    assert (tmp_path / again / "metrics.csv").read_bytes() == (path / "metrics.csv").read_bytes()
    # The same name goes on with what is missing: nothing. Other settings are not the same study.
    assert json.loads(optilab(*arguments, "--json").stdout)["remedies"] == document["remedies"]
    optilab(*arguments, "--set", "optimizer.lr=0.001", code=4)
    arguments[arguments.index("--seeds") + 1] = 3
    notes = json.loads(optilab(*arguments, "--json").stdout)["comparison"]["notes"]
    assert "compared once before with other trainings" in str(notes)
    # A study is one entry of the runs: shown and removed whole.
    assert len(json.loads(optilab("runs", "show", "table", "--json").stdout)["runs"]) == 9
    optilab("runs", "rm", "table", "--yes")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["again"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_every_view_of_a_remedy_study_states_the_same(seeds, optilab, small, tmp_path):
    """At its end, in `runs compare`, in the report, by `lab.load` and in `--json`."""
    arguments = ["remedy", small, "--only", "relu,adam", "--seeds", seeds, "--epochs", 2, "--name", "cure"]
    end = optilab(*arguments).stdout
    compared = optilab("runs", "compare", "cure").stdout
    document = json.loads(optilab(*arguments, "--json").stdout)["comparison"]
    assert json.loads(optilab("runs", "compare", "cure", "--json").stdout)["groups"] == document["groups"]
    assert json.loads(optilab("report", "cure", "--json").stdout)["comparison"] == document | {
        "notes": [note for note in document["notes"] if "data.holdout" not in note]  # on the choice of a sweep
    }
    loaded = Lab(tmp_path / "runs").load("cure")
    assert loaded.verdict == document["verdict"]
    assert {row["group"]: row["mean"] for row in loaded.answer.rows} == {
        group["group"]: group["summary"]["mean"] for group in document["groups"]
    }
    page = re.sub(r"<[^>]+>", "", (tmp_path / "report.html").read_text())
    for text in (end, compared, optilab("report", "cure").stdout, page):
        assert document["verdict"] in text
    table = end.partition("\n\n")[2].partition("\n\n")[0]
    assert table in compared
    assert [*table.split("\n")[0].split()][:2] == ["group", "n"]
    assert {group["group"] for group in document["groups"]} == {"as it is", "relu", "adam"}
    assert document["baseline"] == "as it is"
    assert document["verdict"].startswith("one seed gives no verdict, three may;") == (seeds == 1)


def test_a_remedy_at_its_best_rate(optilab, small):
    """Every remedy at every value of an axis; one that changes nothing else takes no part."""
    rates = ["--over", "optimizer.lr=0.01,1", "--seeds", 2, "--epochs", 1, "--name", "rates"]
    document = json.loads(optilab("remedy", small, "--only", "tanh,lr", *rates, "--json").stdout)
    groups = [group["group"] for group in document["comparison"]["groups"]]
    assert groups == ["as it is, lr 0.01", "as it is, lr 1", "tanh, lr 0.01", "tanh, lr 1"]
    assert document["remedies"][-1]["state"] == "an axis (--over) takes its place"
    assert document["smallest_fix"] is None
    best = json.loads(optilab("runs", "compare", "rates", "--by", "remedy", "--best", "--json").stdout)
    assert [group["group"] for group in best["groups"]] == ["as it is", "tanh"]
    assert best["baseline"] == "as it is"
    assert best["sample"] == "best"
    assert "lr is an axis" in optilab("remedy", small, "--lr", 1, *rates, code=2).stderr


def test_steps_are_those_of_the_trainings(optilab, tmp_path):
    """Those of the option `--epochs`, where the file has other ones."""
    (tmp_path / "tiny.yaml").write_text(
        "model: {hidden: [8]}\ndata: {dataset: synthetic, images: 200, batch_size: 100}\n"
        "optimizer: {name: sgd, lr: 1e-9}\nepochs: 50\n"
    )
    shown = optilab("remedy", "tiny.yaml", "--only", "xavier", "--seeds", 2, "--epochs", 1).stdout
    assert "2 steps are too few to tell" in shown


def test_latest_is_a_training_and_no_study(optilab, small):
    optilab("train", small, "--name", "one", "--quiet")
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1", "--name", "later", "--quiet")
    latest, named = (json.loads(optilab("diagnose", run, "--json").stdout) for run in ("latest", "one"))
    assert latest["findings"] == named["findings"]
    assert latest["layers"] == named["layers"]


def test_diagnosis_needs_no_file_of_the_rule(optilab, small, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def mine(w, g, lr=1e-7):\n    return w - lr * g\n")
    optilab("train", small, "--set", "optimizer=mine.py:mine", "--name", "own", "--quiet")
    before = json.loads(optilab("diagnose", "own", "--json").stdout)
    mine.write_text("def mine(w, g, lr=1e-7):\n    return w + lr * g\n")
    changed = json.loads(optilab("diagnose", "own", "--json").stdout)
    mine.unlink()
    assert changed == json.loads(optilab("diagnose", "own", "--json").stdout)
    assert [f["finding"] for f in changed["findings"]] == [f["finding"] for f in before["findings"]]


def test_remedy_stands_above_what_is_set(optilab, small, tmp_path):
    sets = ["--set", "optimizer=momentum", "--set", "model.activation=relu"]
    optilab("remedy", small, "--only", "adam,tanh", "--epochs", 1, *sets, "--name", "r", "--quiet")
    trained = {}
    for path in (tmp_path / "runs" / "r").glob("*/config.yaml"):
        config = load(TrainConfig, str(path))
        trained[config.name] = (config.optimizer.name, config.model.activation.name)
    expected = {"as-it-is": ("momentum", "relu"), "adam": ("adam", "relu"), "tanh": ("momentum", "tanh")}
    assert trained == expected


@pytest.mark.parametrize(("axis", "trials"), [([], 3 * 2), (["--over", "optimizer.lr=0.1:1:4"], 3 * 4 * 2)])
def test_dry_run_counts_trainings(axis, trials, optilab, small, tmp_path):
    command = ["remedy", small, "--only", "adam,relu", "--seeds", 2, "--epochs", 3, *axis, "--dry-run"]
    cost = json.loads(optilab(*command, "--set", "data.holdout=50", "--json").stdout)
    assert (cost["trials"], cost["missing"], cost["epochs"]) == (trials, trials, trials * 3)
    assert not (tmp_path / "runs").exists()


def test_failed_trial_takes_no_other_with_it(optilab, small, tmp_path):
    arguments = ["remedy", small, "--only", "tanh,batchnorm", "--epochs", 1, "--name", "broken", "--json"]
    optilab(*arguments)
    broken = _trial(tmp_path / "runs" / "broken", "tanh-s42")
    (broken / "manifest.json").write_text("{")
    done = optilab(*arguments, code=8)
    states = {result["remedy"]: result for result in json.loads(done.stdout)["remedies"]}
    assert states["tanh"]["state"] == "failed"
    assert states["batchnorm"]["state"] == states["as it is"]["state"] == "done"


def _trial(study, label):
    """The run directory of the trial with that label and seed."""
    (path,) = study.glob(f"{label}-*")
    return path


def compared(folder, table, looks=0):
    """The comparison of remedies that reached these accuracies, and the remedies; None is the config as it is."""
    records = []
    for name, accuracies in table.items():
        for seed, accuracy in enumerate(accuracies):
            label = f"{name or 'as-it-is'}-{seed}"
            remedy = {REMEDY: name or AS_IT_IS}
            records.append(read(training(folder, label, f"seed={seed}", accuracies=(accuracy,), **remedy)))
    variants = [Variant(REMEDIES[name] if name else UNCHANGED, ()) for name in table]
    return compare_runs(records, Measure("val_acc"), looks=looks), variants


BASE, GOOD, BETTER = (0.1, 0.1, 0.11), (0.79, 0.8, 0.81), (0.86, 0.88, 0.87)


@pytest.mark.parametrize(
    ("table", "fix"),
    [
        ({None: BASE, "tanh": GOOD}, "tanh"),
        ({None: (0.78, 0.8, 0.81), "tanh": GOOD}, None),
        ({None: BASE, "tanh": ()}, None),
        ({None: (), "tanh": GOOD}, None),  # nothing to compare with
        ({None: BASE[:1], "tanh": GOOD[:1]}, None),  # one seed
        ({None: BASE, "kitchen-sink": GOOD, "batchnorm": GOOD}, "batchnorm"),
        ({None: BASE, "kitchen-sink": BETTER, "batchnorm": GOOD, "tanh": BASE}, "kitchen-sink"),
    ],
)
def test_smallest_fix_is_better_than_nothing_and_not_worse_than_the_best(table, fix, tmp_path):
    found = smallest_fix(*compared(tmp_path, table))
    assert (found and found.name) == fix


@pytest.mark.parametrize(("looks", "fix"), [(0, "kitchen-sink"), (1, "batchnorm")])
def test_both_tests_of_the_smallest_fix_are_at_one_level(looks, fix, tmp_path):
    """Only the largest change is among the best, until a further look halves the level of both tests."""
    table = {None: BASE, "kitchen-sink": (0.8, 0.83, 0.9), "batchnorm": (0.7, 0.7, 0.7)}  # p = 0.045
    comparison, variants = compared(tmp_path, table, looks)
    assert comparison.judgment.level == alpha(looks)
    assert {row.verdict for row in comparison.judgment.rows if row.difference} == {"better"}
    assert smallest_fix(comparison, variants).name == fix


@pytest.mark.parametrize(("looks", "verdict"), [(0, "better"), (1, "cannot tell")])
def test_a_further_look_is_at_half_the_level(looks, verdict, tmp_path):
    table = {None: (0.1, 0.1, 0.1), "tanh": (0.2, 0.23, 0.3)}  # p = 0.045
    comparison, variants = compared(tmp_path, table, looks)
    assert comparison.judgment.rows[1].verdict == verdict
    assert (smallest_fix(comparison, variants) is None) == (verdict != "better")


def test_trainings_end_with_their_study(small, tmp_path):
    command = ["remedy", small, "--only", "tanh", "--epochs", "100000", "--name", "orphans"]
    folder = tmp_path / "runs" / "orphans"
    study = start(command, tmp_path, before=fork_the_template)
    wait_until(lambda: list(folder.glob("tanh-s42-*/metrics.csv")) or not study.alive())
    workers = [*templates(study.pid), *trial_processes(study.pid)]
    assert len(workers) >= 3  # their template and two trials
    study.send(signal.SIGKILL)
    study.finish()
    wait_until(lambda: read(_trial(folder, "tanh-s42")).state == "interrupted")
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_few_steps_are_no_finding(optilab):
    """After four steps the loss is still that of the initial weights, a little above the chance level."""
    changes = ("data.dataset=synthetic", "threads=1", "data.images=1000", "model.hidden=[16,16]", "seed=7")
    arguments = [word for change in changes for word in ("--set", change)]
    shown = " ".join(optilab("train", "sigmoid.yaml", *arguments, "--lr", "0.1", "--epochs", "2").stdout.split())
    assert "; only 4 steps in all: train longer before you look for a cause" in shown
    assert "labels-unrelated" not in shown
