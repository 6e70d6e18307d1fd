"""Sweeps: what is tried, and that a trial has the bytes of a training by itself, however the study was executed."""

import json
import re
import shutil
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import scipy.stats
from scipy.stats import qmc

from optilab import runs
from optilab.config.section import to_yaml
from optilab.config.study import RemedyConfig, SweepConfig
from optilab.errors import RunError
from optilab.judge.judge import smallest_difference
from optilab.lab import Lab
from optilab.runs.lock import hold
from optilab.study import remedy, sweep
from optilab.study.study import require_nothing_dropped
from tests.kit.command import run

OVER = ["--over", "optimizer.lr=0.01,1", "--over", "model.init=default,xavier"]
EIGHT = [*OVER, "--seeds", "2"]
DETERMINISTIC = (
    "plan.jsonl",
    "trials.csv",
    "study.yaml",
    "*/metrics.csv",
    "*/diagnostics.jsonl",
    "*/config.yaml",
    "*/checkpoints/*",
)


def plan(over, **settings):
    return sweep.spec_of(SweepConfig(config="relu", over=over, **settings))


def settings_of(over, **settings):
    return [dict(trial.settings) for trial in plan(over, **settings).trials]


def files(study: Path) -> dict[str, bytes]:
    """All that is deterministic in a study."""
    return {str(p.relative_to(study)): p.read_bytes() for name in DETERMINISTIC for p in study.glob(name)}


def written(study):
    """Which files hold the metrics of its trials, and when they were written."""
    return {(path.stat().st_ino, path.stat().st_mtime_ns) for path in study.glob("*/metrics.csv")}


@pytest.fixture(scope="module")
def executed(small, tmp_path_factory):
    """The directory of two studies of the same eight trials: in this process, and by two workers."""
    folder = tmp_path_factory.mktemp("executed")
    for jobs in ("1", "2"):
        line = ["sweep", str(small), *EIGHT, "--jobs", jobs, "--name", f"jobs-{jobs}", "--quiet"]
        run(line, folder, code=0)
    return folder / "runs"


@pytest.fixture
def study(executed, tmp_path):
    """A copy of the study of eight trials, with the name s."""
    return Path(shutil.copytree(executed / "jobs-1", tmp_path / "runs" / "s"))


# --- the plan ----------------------------------------------------------------------------------------------


def test_first_axis_is_slowest_seeds_stay_together():
    planned = plan({"optimizer.lr": "1e-3:10:3:log", "model.init": "default,xavier"}, seeds=2)
    assert [tuple(trial.settings.values()) for trial in planned.trials[::2]] == [
        (rate, init) for rate in (0.001, 0.1, 10.0) for init in ("default", "xavier")
    ]
    assert [trial.config.seed for trial in planned.trials] == [42, 43] * 6
    assert {trial.config.threads for trial in planned.trials} == {1}
    turned = plan({"model.init": "default,xavier", "optimizer.lr": "1e-3:10:3:log"}, seeds=2)
    assert {trial.digest for trial in turned.trials} == {trial.digest for trial in planned.trials}


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("model.hidden", "[8],[8, 8]", [[8], [8, 8]]),
        ("optimizer", "adam,{name: sgd, lr: 0.5}", ["adam", {"name": "sgd", "lr": 0.5}]),
        ("data.batch_size", "32:512:5:log", [32, 64, 128, 256, 512]),
        ("model.dropout", "0:0.4:5", [0.0, 0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_values_are_read_as_in_yaml(key, text, values):
    assert [setting[key] for setting in settings_of({key: text})] == values


def test_zip_walks_all_axes_together():
    together = settings_of({"optimizer.lr": "0.1,0.2", "data.batch_size": "64,128"}, zip=True)
    assert [tuple(setting.values()) for setting in together] == [(0.1, 64), (0.2, 128)]


def test_samples_are_a_sobol_sequence_that_can_grow():
    over = {"optimizer": "sgd,adam", "optimizer.lr": "1e-4:1:log", "model.dropout": "0:0.5"}
    many, few = settings_of(over, samples=20), settings_of(over, samples=5)
    assert many[:5] == few
    numbers = qmc.Sobol(3, scramble=False).random_base2(5)[1:21]
    np.testing.assert_allclose([p["model.dropout"] for p in many], 0.5 * numbers[:, 2], rtol=1e-11)
    np.testing.assert_allclose([p["optimizer.lr"] for p in many], 1e-4 * 1e4 ** numbers[:, 1], rtol=1e-11)
    assert {p["optimizer"] for p in many} == {"sgd", "adam"}


def begun(folder, planned):
    """The directory of a study that has begun the trials of the plan."""
    facts = {"command": planned.command, "versions": {"optilab": "0"}}
    study = runs.open_study(folder, "s", to_yaml(planned.request), facts)
    study.plan(trial.line for trial in planned.trials)
    for trial in planned.trials:
        (study.path / trial.name).mkdir()
    study.finish("interrupted")
    return study.path


def tried(*names):
    return remedy.spec_of(RemedyConfig(config="relu", only=list(names)))


ONE_MORE = {"optimizer.lr": "0.1,1,2", "model.activation": "relu,tanh,elu"}
GROWS = {
    "values": (plan({"optimizer.lr": "3e-1,1"}), plan({"optimizer.lr": "1,0.3,2"})),
    "samples": (plan({"optimizer.lr": "0.1:1"}, samples=2), plan({"optimizer.lr": "0.1:1"}, samples=3)),
    "an axis": (plan({}, seeds=2), plan({"optimizer.lr": "0.01,1"}, seeds=2)),
    "zip": (plan({"optimizer.lr": "0.1,1", "model.activation": "relu,tanh"}, zip=True), plan(ONE_MORE, zip=True)),
    "remedies": (tried("batchnorm"), tried("batchnorm", "tanh")),
}


@pytest.mark.parametrize("what", GROWS)
def test_a_study_grows_and_never_shrinks(what, tmp_path):
    """Whoever leaves out the best row changes the verdict on all others."""
    before, after = GROWS[what]
    require_nothing_dropped(after, begun(tmp_path / "small", before))
    study = begun(tmp_path / "large", after)
    with pytest.raises(RunError, match=r"trials? that would be left out: "):
        require_nothing_dropped(before, study)


def test_a_lost_value_is_named(tmp_path):
    study = begun(tmp_path, plan({"optimizer.lr": "0.1:1:3:log"}))
    with pytest.raises(RunError, match=r"1 trial that would be left out: optimizer\.lr=0\.316227766017, seed=42"):
        require_nothing_dropped(plan({"optimizer.lr": "0.1:1:2:log"}), study)


# --- the study ---------------------------------------------------------------------------------------------


def test_executors_and_train_write_the_same_bytes(executed, optilab, small, tmp_path):
    alone = files(executed / "jobs-1")
    assert len(alone) == 3 + 8 * 4
    assert alone == files(executed / "jobs-2")
    trials = {tuple(row.values())[1:4]: row for row in runs.read_study(executed / "jobs-1").rows()}
    assert [row["status"] for row in trials.values()] == ["done"] * 8
    trial = trials[0.01, "xavier", 43]["trial"]
    options = ["--threads", 1, "--set", "optimizer.lr=0.01", "--set", "model.init=xavier"]
    optilab("train", small, *options, "--seed", 43, "--name", "alone", "--quiet")
    assert (tmp_path / "runs" / "alone" / "metrics.csv").read_bytes() == alone[f"{trial}/metrics.csv"]


@pytest.mark.parametrize(
    "begin",
    [[*OVER[:2], "--seeds", 2], [*EIGHT, "--epochs", 1], [*OVER, "--seeds", 1]],
    ids=["an axis", "epochs", "seeds"],
)
def test_a_grown_study_has_the_bytes_of_a_whole_one(begin, executed, optilab, small, tmp_path):
    """Also after a kill among the trials that got new names."""
    optilab("sweep", small, *begin, "--name", "s", "--quiet")
    study = tmp_path / "runs" / "s"
    if begin[:3] == [*OVER[:2], "--seeds"]:
        first = next(study.glob("0.01-s42-*"))
        first.rename(first.with_name(next(executed.glob("jobs-1/0.01-default-s42-*")).name))
    done = written(study)
    optilab("sweep", small, *EIGHT, "--epochs", 3, "--name", "s", "--quiet")
    assert files(study) == files(executed / "jobs-1")
    assert "--epochs" in begin or done < written(study)


@pytest.mark.parametrize("line", [[*EIGHT, "--epochs", 2], OVER], ids=["epochs", "seeds"])
def test_a_refused_change_loses_no_row(line, study, optilab, small):
    before = files(study)
    optilab("sweep", small, *line, "--name", "s", "--quiet", code=4)
    assert files(study) == before
    assert runs.read_study(study).state == "done"


def test_a_study_keeps_the_command_that_makes_it(study, optilab, small):
    def argv():
        return runs.read_study(study).manifest["argv"]

    typed = argv()
    assert typed[1 : 3 + len(EIGHT)] == ["sweep", str(small), *EIGHT]
    optilab("sweep", "--resume", "s", "--jobs", 1, "--quiet")
    assert argv() == typed
    optilab("sweep", "--resume", "s", "--metric", "val_loss", "--quiet")
    assert argv() == ["optilab", "sweep", "--study", "runs/s/study.yaml"]
    optilab(*argv()[1:], "--name", "again", "--quiet")
    again = study.with_name("again")
    assert (again / "trials.csv").read_bytes() == (study / "trials.csv").read_bytes()


def test_seeds_of_one_training_are_a_study(optilab, small, tmp_path):
    options = ["train", small, "--set", "data.holdout=50", "--epochs", 2, "--device", "cpu", "--json"]
    together = json.loads(optilab(*options, "--seed", 7, "--seeds", 3, "--name", "study").stdout)
    assert [trial["seed"] for trial in together["trials"]] == [7, 8, 9]
    accuracies = [trial["val_acc"] for trial in together["trials"]]
    (group,) = together["comparison"]["groups"]
    summary = {key: group["summary"][key] for key in ("mean", "std")}
    assert summary == pytest.approx({"mean": mean(accuracies), "std": stdev(accuracies)}, rel=1e-15)
    alone = json.loads(optilab(*options, "--seed", 8).stdout)
    same = runs.read(tmp_path / group["runs"]["8"])
    assert alone["rows"] == same.rows()
    manifest = same.manifest
    assert (manifest["test_loss"], manifest["test_acc"]) == (alone["test_loss"], alone["test_acc"])


def test_failed_and_diverged_trials_are_results(optilab, small):
    """200 images in batches of 199 leave a batch of one, which has no batch statistics."""
    axes = ["--over", "data.batch_size=199,50,20", "--over", "optimizer.lr=0.1,0.2,1e30", "--zip"]
    command = ["sweep", small, *axes, "--set", "model.norm=batch", "--jobs", 1, "--json"]
    trials = json.loads(optilab(*command, code=8).stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["failed", "done", "diverged"]
    fast = json.loads(optilab(*command, "--fail-fast", code=8).stdout)
    assert [trial["status"] for trial in fast["trials"]] == ["failed"]


@pytest.mark.parametrize(("options", "groups", "seeds"), [([], 4, 2), (["--confirm", 2], 2, 5)])
def test_a_dry_run_says_what_the_design_can_tell(options, groups, seeds, study, optilab, small):
    before = sorted((path, path.stat().st_mtime_ns) for path in study.parent.rglob("*"))
    document = json.loads(optilab("sweep", small, *EIGHT, "--dry-run", "--json", *options, "--name", "s").stdout)
    assert sorted((path, path.stat().st_mtime_ns) for path in study.parent.rglob("*")) == before
    assert (document["trials"] - document["missing"], document["longest"]) == (8, 3)
    assert document["detectable"] == smallest_difference(groups, seeds)


# --- what a study proposes next ----------------------------------------------------------------------------


def proposal(printed):
    """The command of `next:` and its reason."""
    return re.search(r"^  next: optilab (.*?) \((.*)\)$", printed, re.MULTILINE).groups()


def test_a_sweep_that_cannot_tell_proposes_what_runs(optilab, small):
    """New seeds first, then more of them."""
    command = ["sweep", small, "--set", "optimizer=adam", "--over", "optimizer.lr=0.02,0.03", "--epochs", 6]
    command += ["--seeds", 3, "--name", "s"]
    confirm, cost = proposal(optilab(*command).stdout)
    assert confirm == "sweep --resume s --confirm 2"
    assert cost.endswith("each from 5 new seeds: 10 trainings")
    again, cost = proposal(optilab(*confirm.split()).stdout)
    count = int(re.fullmatch(r"sweep --resume s --confirm-seeds (\d+)", again)[1]) - 5
    assert cost.startswith(f"trains {count} more seeds of each of these 2")


# --- a further look ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "looks",
    [
        [("0.01,0.1", 1, 0, 0.05, None), ("0.01,0.1", 2, 0, 0.05, None), ("0.01,0.1", 3, 0, 0.025, None)],
        [("0.01,0.1", 2, 0, 0.05, None), ("0.01,0.1,0.2", 2, 2, 0.025, 0.05), ("0.01,0.1,0.2", 2, 2, 0.025, 0.05)],
        [("0.01,0.1", 2, 1, 0.05, 0.05), ("0.01,0.1", 2, 2, 0.05, 0.025), ("0.01,0.1", 6, 2, 0.025, 0.0125)],
    ],
    ids=["seeds", "settings", "confirmations"],
)
def test_what_is_seen_again_is_a_further_look(looks, optilab, small):
    """One seed has no verdict, and the same trainings are the same look.

    The seeds of a confirmation are new once: with more of them, or with other settings, they are looked at again.
    """
    for rates, seeds, best, *levels in looks:
        line = ["--over", f"optimizer.lr={rates}", "--seeds", seeds, "--epochs", 1, "--name", "s", "--json"]
        document = json.loads(optilab("sweep", small, *line, *(["--confirm", best] if best else [])).stdout)
        assert [document["comparison"]["level"], (document["confirmation"] or {}).get("level")] == levels
    if len(document["comparison"]["groups"]) == 2 and not best:
        # A baseline that is named after the data were seen is a further look.
        compare = ["runs", "compare", "s", "--metric", "val_loss", "--json"]
        compared = json.loads(optilab(*compare).stdout)
        outcomes = [list(group["outcomes"].values()) for group in compared["groups"]]
        differences = np.subtract(*map(np.array, outcomes))
        half = scipy.stats.t.ppf(1 - 0.025 / 2, 2) * differences.std(ddof=1) / np.sqrt(3)
        (low, high) = next(group["contrast"]["interval"] for group in compared["groups"] if group["contrast"])
        assert high - low == pytest.approx(2 * half)
        assert json.loads(optilab(*compare, "--baseline", "lr 0.1").stdout)["level"] == 0.0125


# --- successive halving and confirmation -------------------------------------------------------------------


def test_a_promoted_trial_is_one_that_ran_through(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.001:1:4:log", "--epochs", 4, "--quiet", "--name"]
    optilab("sweep", small, *over, "all")
    optilab("sweep", small, *over, "halved", "--halving", 2, "--seeds", 1, "--confirm", 0)
    whole, halved = (runs.read_study(tmp_path / "runs" / name) for name in ("all", "halved"))
    ended = {row["trial"]: (row["status"], row["epochs"]) for row in halved.rows()}
    assert sorted(ended.values()) == [("done", 4), ("stopped", 1), ("stopped", 1), ("stopped", 2)]
    through = {name: runs.read(whole.path / name).rows() for name in ended}
    for name, (_, epochs) in ended.items():
        assert runs.read(halved.path / name).rows() == through[name][:epochs]
    # Each rung keeps the best of those that reached it.
    first = sorted(through, key=lambda name: -through[name][0]["val_acc"])
    second = sorted(first[:2], key=lambda name: -through[name][1]["val_acc"])
    assert {name for name, (_, epochs) in ended.items() if epochs > 1} == set(first[:2])
    assert [name for name, (_, epochs) in ended.items() if epochs == 4] == second[:1]
    before = files(halved.path)
    optilab("sweep", small, *over, "halved", "--halving", 2, "--confirm", 0)
    assert files(halved.path) == before


def test_the_best_settings_are_judged_on_new_seeds(optilab, small, tmp_path):
    """The confirmation is a study of its own, which grows without a training of the grid."""
    over = ["--over", "optimizer.lr=0.001:1:4:log", "--set", "data.holdout=50", "--epochs", 1, "--name", "s"]
    optilab("sweep", small, *over, "--quiet")
    study = tmp_path / "runs" / "s"
    chosen = {path: files(path) for path in study.iterdir() if path.is_dir()}
    optilab("sweep", small, *over, "--confirm", 2, "--quiet")  # the same study goes on
    assert {path: files(path) for path in chosen} == chosen
    rows, again = (runs.read_study(path).rows() for path in (study, study / "confirmed"))
    assert [row["seed"] for row in rows] == [42] * 4
    assert sorted(row["seed"] for row in again) == sorted(2 * list(range(10042, 10047)))
    best = sorted(rows, key=lambda row: -row["val_acc"])[:2]
    assert {row["optimizer.lr"] for row in again} == {row["optimizer.lr"] for row in best}
    grown = ["sweep", "--resume", "s", "--confirm", 2, "--confirm-seeds", 7, "--json"]
    document = json.loads(optilab(*grown).stdout)
    confirmation = document["confirmation"]
    new = {str(seed) for seed in range(10042, 10049)}
    assert [group["outcomes"].keys() for group in confirmation["groups"]] == [new] * 2
    assert (confirmation["measure"]["metric"], confirmation["level"]) == ("test_acc", 0.025)
    for name, shown in (("s", document["comparison"]), ("s/confirmed", confirmation)):
        compared = json.loads(optilab("runs", "compare", name, "--json").stdout)
        assert {key: shown[key] for key in ("groups", "verdict", "level")}.items() <= compared.items()
        assert any("optilab runs compare s/confirmed" in note for note in compared["notes"]) == (name == "s")
        reported = json.loads(optilab("report", name, "--json", "--out", "s.html").stdout)["comparison"]
        assert compared == reported | {"schema_version": 2}
        loaded = Lab(tmp_path / "runs").load(name)
        assert (loaded.comparison.verdict, loaded.verdict) == (compared["verdict"], confirmation["verdict"])
    fewer = optilab("sweep", "--resume", "s", "--confirm-seeds", 5, "--dry-run", code=4).stderr
    assert "runs/s/confirmed has 4 trials that would be left out" in fewer


def test_a_confirmation_lies_inside_its_sweep(optilab, small, tmp_path):
    """It is named after the sweep, and what the sweep's name or a pattern means is without it."""
    line = ["sweep", small, "--over", "optimizer.lr=0.1,0.2,0.3", "--over", "model.activation=relu,tanh"]
    line += ["--epochs", 1, "--confirm", 3, "--name", "s", "--quiet"]
    optilab(*line)
    study = tmp_path / "runs" / "s"
    first, again = ([row["trial"] for row in runs.read_study(p).rows()] for p in (study, study / "confirmed"))
    assert (len(first), len(again)) == (6, 3 * 5)

    def names(*words):
        return optilab(*words, "--quiet").stdout.split()

    assert names("runs", "ls") == ["s"]
    assert (names("runs", "ls", "s"), names("runs", "ls", "s/confirmed")) == (first, again)
    for name in ("latest", "s", "s/confirmed", f"s/confirmed/{again[0]}"):
        place = study.parent / name.replace("latest", "s")
        assert optilab("runs", "path", name).stdout == f"{place.relative_to(tmp_path)}\n"
    for name, trials in (
        ("s", first),
        ("s/*", first),
        ("s/confirmed", again),
        ("s/confirmed/*", again),
        (f"s/{first[0][:4]}*", [t for t in first if t.startswith(first[0][:4])]),
    ):
        exported = json.loads(optilab("runs", "export", name, "--out", "rows.csv", "--force", "--json").stdout)
        inside = "s/confirmed" if "confirmed" in name else "s"
        assert sorted(exported["runs"]) == sorted(f"{inside}/{trial}" for trial in trials)
    plotted = json.loads(optilab("runs", "plot", "s", "--curves", "--json").stdout)
    assert [group["seeds"] for group in plotted["groups"]] == [[42]] * 6
    assert "optilab runs compare s/confirmed" in optilab("runs", "show", "s").stdout
    told = optilab("sweep", "--resume", "s/confirmed", code=4).stderr
    assert told.endswith("s/confirmed is a part of its sweep, s\n")
    # Stopped in the middle of either, the same command goes on with it.
    whole = files(study), files(study / "confirmed")
    for path in (study / first[0], study / "confirmed" / again[-1], study / "confirmed"):
        shutil.rmtree(path)
        optilab(*line)
        assert (files(study), files(study / "confirmed")) == whole
    # While it is written, neither it nor its sweep is removed.
    for held in (study / "confirmed", study / "confirmed" / again[0]):
        lock = hold(held)
        for name in ("s", "s/confirmed"):
            optilab("runs", "rm", name, "--yes", code=4)
        lock.release()
    optilab("runs", "rm", "s/confirmed", "--yes")
    assert names("runs", "ls", "s") == first
    optilab("runs", "rm", "s", "--yes")
    assert not study.exists()


def test_what_was_confirmed_is_not_forgotten(optilab, small):
    """Where other settings are the best, or fewer are asked for, those that were confirmed stay: also by another axis,
    under new names."""
    line = ["sweep", small, "--epochs", 1, "--name", "s", "--json", "--over"]
    confirmed = json.loads(optilab(*line, "optimizer.lr=0.1,0.2", "--confirm", 2).stdout)["confirmation"]
    fewer = json.loads(optilab(*line, "optimizer.lr=0.1,0.2", "--confirm", 1).stdout)["confirmation"]
    assert fewer == confirmed  # no further look
    axes = [*line, "optimizer.lr=0.1,0.2,1,2", "--over", "model.activation=sigmoid,relu,tanh", "--confirm", 3]
    grown = json.loads(optilab(*axes).stdout)["confirmation"]
    settings = [group["settings"] for group in grown["groups"]]
    for rate in (0.1, 0.2):
        assert {"optimizer.lr": rate, "model.activation.name": "sigmoid"} in settings
    assert len(settings) >= 3
    assert grown["level"] == 0.025
