"""Sweeps: what is tried, and that a trial has the bytes of a training by itself, however the study was executed."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from scipy.stats import qmc

from optilab import runs
from optilab.config.load import dump, load
from optilab.config.study import SweepConfig
from optilab.config.training import TrainConfig
from optilab.errors import ConfigError, RunError, UsageError
from optilab.lab import Lab
from optilab.study import sweep
from optilab.study.groups import Measure
from optilab.study.plan import rungs
from optilab.study.statistics import smallest_difference
from optilab.verbs import studies


def plan(over, **settings):
    return sweep.plan(sweep.resolve(SweepConfig(config="relu", over=over, **settings)))


def points(over, **settings):
    return [dict(trial.settings) for trial in plan(over, **settings).trials]


def test_a_study_keeps_the_seeds_it_has(tmp_path):
    axes = {"optimizer.lr": "0.1,1"}
    (tmp_path / "study.yaml").write_bytes(plan(axes, seeds=3).study())
    plan(axes, seeds=4).require_same(tmp_path)
    with pytest.raises(
        RunError, match="has 3 seeds, and 2 would be fewer; add --seeds 3, or choose another --name"
    ):
        plan(axes, seeds=2).require_same(tmp_path)


def files(study: Path) -> dict[str, bytes]:
    """All that is deterministic in a study."""
    names = (
        "trials.csv",
        "study.yaml",
        "*/metrics.csv",
        "*/diagnostics.jsonl",
        "*/config.yaml",
        "*/checkpoints/*",
    )
    return {str(p.relative_to(study)): p.read_bytes() for name in names for p in study.glob(name)}


# --- the plan ----------------------------------------------------------------------------------------------


def test_axes_multiply_the_first_one_slowest_the_seeds_together():
    planned = plan({"optimizer.lr": "1e-3:10:3:log", "model.init": "default,xavier"}, seeds=2)
    assert [tuple(trial.settings.values()) for trial in planned.trials[::2]] == [
        (0.001, "default"),
        (0.001, "xavier"),
        (0.1, "default"),
        (0.1, "xavier"),
        (10.0, "default"),
        (10.0, "xavier"),
    ]
    assert [trial.config.seed for trial in planned.trials] == [42, 43] * 6
    assert {trial.config.threads for trial in planned.trials} == {1}
    assert planned.shape == "3 values of optimizer.lr x 2 values of model.init x 2 seeds"
    assert len({trial.name for trial in planned.trials}) == 12


def test_a_trial_is_the_config_with_its_settings():
    (trial,) = plan({"optimizer": [{"name": "adam", "lr": 0.01}]}).trials
    alone = load(TrainConfig, "relu").model_copy(update={"threads": 1, "device": "cpu"})
    tree = dump(alone) | {"optimizer": {"name": "adam", "lr": 0.01}}
    assert trial.config == load(TrainConfig, tree)


def test_values_are_read_as_in_yaml():
    assert [p["model.hidden"] for p in points({"model.hidden": "[8],[8, 8]"})] == [[8], [8, 8]]
    assert [p["optimizer"] for p in points({"optimizer": "adam,{name: sgd, lr: 0.5}"})] == [
        "adam",
        {"name": "sgd", "lr": 0.5},
    ]
    assert [p["data.batch_size"] for p in points({"data.batch_size": "32:512:5:log"})] == [32, 64, 128, 256, 512]
    assert [p["model.dropout"] for p in points({"model.dropout": "0:0.4:5"})] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_zip_walks_all_axes_together():
    together = points({"optimizer.lr": "0.1,0.2", "data.batch_size": "64,128"}, zip=True)
    assert together == [
        {"optimizer.lr": 0.1, "data.batch_size": 64},
        {"optimizer.lr": 0.2, "data.batch_size": 128},
    ]
    with pytest.raises(UsageError, match=r"the same number of values; got optimizer.lr 3, data.batch_size 2"):
        points({"optimizer.lr": "0.1,0.2,0.3", "data.batch_size": "64,128"}, zip=True)


def test_samples_are_a_sobol_sequence_that_can_grow():
    over = {"optimizer.lr": "1e-4:1:log", "model.dropout": "0:0.5", "optimizer": "sgd,adam"}
    over = {"optimizer": over["optimizer"], **over}
    many, few = points(over, samples=20), points(over, samples=5)
    assert many[:5] == few
    shares = qmc.Sobol(3, scramble=False).random_base2(5)[1:21]
    np.testing.assert_allclose([p["model.dropout"] for p in many], 0.5 * shares[:, 2], rtol=1e-11)
    np.testing.assert_allclose([p["optimizer.lr"] for p in many], 1e-4 * 1e4 ** shares[:, 1], rtol=1e-11)
    assert {p["optimizer"] for p in many} == {"sgd", "adam"}


@pytest.mark.parametrize(
    ("over", "settings", "message"),
    [
        ({"optimizer.lr": "2:1:3"}, {}, r"--over optimizer.lr=2:1:3: LOW has to be less than HIGH"),
        ({"optimizer.lr": "0:1:3:log"}, {}, "a log axis has to begin above 0"),
        ({"optimizer.lr": "0.1,0.1"}, {}, "0.1 is repeated"),
        ({"optimizer.lr": []}, {}, "expected at least one value"),
        ({"seed": "1,2"}, {}, "use --seeds N"),
        ({"optimizer.name": "sgd, adam"}, {}, "optimizer.name is not an axis: write --over optimizer=sgd,adam"),
        ({"epochs": "1,2"}, {}, "a run of more epochs contains that of fewer"),
        (
            {"optimizer.lr": "1e-9:1:50000", "weight_decay": "0:1:50000"},
            {},
            "2,500,000,000 trials; at most 100,000",
        ),
        ({}, {"samples": 3}, "--samples needs something to sample"),
        ({"model.norm": "batch,{name: batch}"}, {}, "are the same training"),
        (
            {"data.batch_size": "8:16"},
            {"samples": 16},
            "--samples: two of 16 samples are the same training, .*; leave it out for the whole grid",
        ),
        ({}, {"metric": "acuracy"}, "--metric: unknown metric 'acuracy'; one of train_loss, .*, seconds"),
        ({}, {"metric": "test_acc"}, r"for the test set, hold images out: --set data.holdout=N"),
        ({}, {"metric": "seconds", "halving": 2}, "--metric: unknown metric 'seconds'"),
    ],
)
def test_axes_that_are_refused(over, settings, message):
    with pytest.raises(UsageError, match=message):
        plan(over, **settings)


def test_values_are_checked_like_any_setting():
    with pytest.raises(ConfigError, match=r"--over optimizer.lr=-1: must be greater than 0, got -1"):
        plan({"optimizer.lr": "-1,0.1"})
    with pytest.raises(ConfigError, match="did you mean"):
        plan({"optimizer.lrr": "0.1,0.2"})


@pytest.mark.parametrize(
    ("options", "axis", "message"),
    [
        (
            ["--lr", "0.5"],
            "optimizer=sgd,adam",
            "--lr: --over optimizer replaces optimizer.lr; to give it to each of them, write --over optimizer.lr=0.5",
        ),
        (
            ["--set", "optimizer.beta1=0.5"],
            "optimizer=adam,adamw",
            "--set optimizer.beta1: --over optimizer replaces",
        ),
    ],
)
def test_an_axis_replaces_no_option_in_silence(options, axis, message, optilab):
    assert message in optilab("sweep", "relu", *options, "--over", axis, "--dry-run", code=2).stderr


def test_the_order_of_axes_does_not_matter():
    first, last = {"optimizer": "sgd,adam"}, {"optimizer.lr": "0.1,0.2"}
    assert {trial.digest for trial in plan(first | last).trials} == {
        trial.digest for trial in plan(last | first).trials
    }


# --- the study ---------------------------------------------------------------------------------------------

OVER = ["--over", "optimizer.lr=0.01:1:3:log", "--over", "model.init=default,xavier"]


def test_seeds_count_from_the_seed_that_is_given(optilab, small):
    command = ["sweep", small, "--over", "optimizer.lr=0.1", "--seed", 7, "--seeds", 2, "--epochs", 1, "--json"]
    assert [row["seed"] for row in json.loads(optilab(*command).stdout)["trials"]] == [7, 8]


def test_a_study_has_the_same_bytes_with_any_number_of_jobs_and_a_trial_those_of_a_training(
    optilab, small, tmp_path
):
    command = ["sweep", small, *OVER, "--seeds", 2, "--json"]
    one = json.loads(optilab(*command, "--jobs", 1, "--name", "one").stdout)
    two = json.loads(optilab(*command, "--jobs", 2, "--name", "two").stdout)
    assert [trial["status"] for trial in one["trials"]] == 12 * ["done"]
    assert one["trials"] == two["trials"]
    bytes_of_one = files(tmp_path / "runs" / "one")
    assert len(bytes_of_one) == 2 + 12 * 4
    assert bytes_of_one == files(tmp_path / "runs" / "two")
    trial = tmp_path / "runs" / "one" / one["trials"][3]["trial"]
    options = ["--epochs", 3, "--threads", 1, "--set", "optimizer.lr=0.01", "--set", "model.init=xavier"]
    optilab("train", small, *options, "--seed", 43, "--name", "alone", "--quiet")
    assert (tmp_path / "runs" / "alone" / "metrics.csv").read_bytes() == (trial / "metrics.csv").read_bytes()


def metrics(study):
    """Which files hold the metrics of its trials, and when they were written."""
    return {(path.stat().st_ino, path.stat().st_mtime_ns) for path in study.glob("*/metrics.csv")}


def test_a_study_continues_grows_and_is_repeated_by_its_file(optilab, small, tmp_path):
    whole = ["sweep", small, *OVER, "--seeds", 2, "--quiet", "--name"]
    optilab(*whole, "whole")
    optilab("sweep", small, *OVER[:2], "--quiet", "--name", "part")  # fewer axes, fewer seeds
    done = metrics(tmp_path / "runs" / "part")
    optilab(*whole, "part")
    assert len(done) == 3
    assert done < metrics(tmp_path / "runs" / "part")  # as they were, under names with the new axis
    rows = runs.read_study(tmp_path / "runs" / "part").trials()
    assert rows == runs.read_study(tmp_path / "runs" / "whole").trials()
    optilab("sweep", "--config", "runs/whole/study.yaml", "--name", "again", "--quiet")
    assert files(tmp_path / "runs" / "again") == files(tmp_path / "runs" / "whole")
    optilab("sweep", "--resume", "again", "--quiet")
    refused = optilab(*whole, "whole", "--set", "model.activation=tanh", code=4).stderr
    assert "was started with other settings: model.activation.name: sigmoid -> tanh" in refused


@pytest.mark.parametrize(
    ("command", "first", "then", "lost"),
    [
        ("sweep", "--over optimizer.lr=0.1,1", "--over optimizer.lr=1,2", "0.1"),
        ("sweep", "--over optimizer.lr=0.1:1:3:log", "--over optimizer.lr=0.1:1:2:log", "0.316227766017"),
        ("sweep", "--over optimizer.lr=0.1,1", "--over model.activation=relu,tanh", "0.1, 1"),
        ("sweep", "--over optimizer=sgd,adam", "--over optimizer=adam,lion", "sgd"),
        ("remedy", "--only relu,tanh", "--only relu,xavier", "tanh"),
        (
            "race --seeds 1 --budget 1 --repeats 1 --set data.holdout=40 --on",
            "--algo sgd,adam,lion",
            "--algo sgd,adam",
            "lion",
        ),
    ],
)
def test_a_study_keeps_what_it_has_tried(command, first, then, lost, optilab, small):
    """Whoever leaves out the best row changes the verdict on all others."""
    begun, own = [*command.split(), small, "--epochs", 1, "--name", "s", "--quiet"], first.split()
    optilab(*begun, *own)
    refused = optilab(*begun, *then.split(), code=4).stderr
    said, whole = re.search(
        r"has tried (.*), too, and its verdicts .*; write (.*), or choose another --name", refused
    ).groups()
    assert said.replace(" ", "") == lost.replace(" ", "")
    planned = optilab(*begun[:-1], "--dry-run", *shlex.split(whole)).stdout
    count, done = re.search(r"^(\d+) trials: .* (\d+) done already", planned).groups()
    assert int(done) > 0
    assert int(count) >= int(done)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("--over optimizer.lr=3e-1,1", "--over optimizer.lr=1,0.3,2"),
        ("--over schedule=constant,cosine", "--over schedule=constant,cosine --epochs 2"),
        ("--samples 2 --over optimizer.lr=0.1:1", "--samples 3 --over optimizer.lr=0.1:1"),
        ("--seeds 2", "--seeds 2 --over optimizer.lr=0.1,1"),
        (
            "--over optimizer.lr=0.1,1 --zip --over model.activation=relu,tanh",
            "--over optimizer.lr=0.1,1,2 --zip --over model.activation=relu,tanh,elu",
        ),
    ],
)
def test_a_study_may_grow(first, then, optilab, small):
    optilab("sweep", small, "--epochs", 1, "--name", "s", "--quiet", *first.split())
    epochs = [] if "--epochs" in then else ["--epochs", 1]
    optilab("sweep", small, *epochs, "--name", "s", "--quiet", *then.split())


def test_fewer_samples_are_refused_with_the_number_that_there_is(optilab, small):
    sampled = [
        "sweep",
        small,
        "--epochs",
        1,
        "--name",
        "s",
        "--quiet",
        "--over",
        "optimizer.lr=0.1:1",
        "--samples",
    ]
    optilab(*sampled, 3)
    assert "s has 3 samples; add --samples 3, or choose another --name" in optilab(*sampled, 2, code=4).stderr


def test_a_study_that_grows_by_an_axis_trains_no_training_twice(optilab, small, tmp_path):
    grown, axes = tmp_path / "runs" / "grown", ["--over", "optimizer.lr=0.1,1"]
    optilab("sweep", small, *axes, "--name", "grown", "--quiet")
    axes += ["--over", "model.init=default,xavier"]
    assert "2 done already" in optilab("sweep", small, *axes, "--name", "grown").stderr
    optilab("sweep", small, *axes, "--name", "whole", "--quiet")
    assert files(grown) == files(tmp_path / "runs" / "whole")


def test_a_study_that_was_killed_while_it_got_new_names_goes_on(optilab, small, tmp_path):
    grown, axes = tmp_path / "runs" / "grown", ["--over", "optimizer.lr=0.1,1"]
    optilab("sweep", small, *axes, "--name", "grown", "--quiet")
    axes += ["--over", "model.init=default,xavier"]
    optilab("sweep", small, *axes, "--name", "whole", "--quiet")
    first = next(grown.glob("0.1-s42-*"))
    first.rename(grown / next((tmp_path / "runs" / "whole").glob("0.1-default-*")).name)
    done = metrics(grown)
    optilab("sweep", small, *axes, "--name", "grown", "--quiet")
    assert done < metrics(grown)
    assert files(grown) == files(tmp_path / "runs" / "whole")


def test_more_epochs_resume_the_trials(optilab, small, tmp_path):
    command = ["sweep", small, "--over", "optimizer.lr=0.1,1", "--quiet"]
    optilab(*command, "--name", "whole", "--epochs", 4)
    optilab(*command, "--name", "grown", "--epochs", 2)
    optilab(*command, "--name", "grown", "--epochs", 4)
    assert files(tmp_path / "runs" / "grown") == files(tmp_path / "runs" / "whole")


@pytest.mark.parametrize("command", [["sweep", "--over", "optimizer.lr=0.1,1"], ["train", "--seeds", 2]])
def test_fewer_epochs_are_refused_and_no_row_is_lost(command, optilab, small, tmp_path):
    command = [command[0], small, *command[1:], "--name", "s", "--quiet"]
    optilab(*command, "--epochs", 3)
    before = files(tmp_path / "runs" / "s")
    refused = optilab(*command, "--epochs", 2, code=4).stderr
    assert "epochs: 3 -> 2, but a trial cannot forget epochs; choose another --name" in refused
    assert files(tmp_path / "runs" / "s") == before
    assert runs.read_study(tmp_path / "runs" / "s").state == "done"


def test_more_epochs_without_checkpoints_are_refused(optilab, small):
    command = ["sweep", small, "--over", "optimizer.lr=0.1,1", "--keep", "none", "--name", "s", "--quiet"]
    optilab(*command, "--epochs", 2)
    assert "its trials kept no checkpoint (keep: none)" in optilab(*command, "--epochs", 3, code=4).stderr


def test_a_trial_does_not_part_from_its_study(optilab, small, tmp_path):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1", "--name", "s", "--quiet")
    trial = f"s/{next((tmp_path / 'runs' / 's').glob('0.1-*')).name}"
    refused = optilab("train", "--resume", trial, "--epochs", 9, code=4).stderr
    assert (
        "is a trial of the study s, which is changed as a whole: optilab sweep --resume s; or fork it" in refused
    )
    assert "already complete (3 epochs)" in optilab("train", "--resume", trial).stderr
    assert optilab("runs", "path", trial).stdout.strip() == f"runs/{trial}"


def test_a_study_is_continued_by_its_own_command(optilab, small):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1", "--name", "s", "--quiet")
    optilab("train", small, "--name", "t", "--quiet")
    for line, code, said in (
        (
            ["remedy", "--resume", "s"],
            4,
            "is a study of `optilab sweep`; continue it with: optilab sweep --resume s",
        ),
        (
            ["sweep", "--resume", "t"],
            4,
            "is a run of `optilab train`, not a study; continue it with: optilab train",
        ),
        (["train", "--resume", "s"], 4, "is a study of `optilab sweep`, not one run"),
        (["diagnose", "s"], 4, "is a study of `optilab sweep`, not one run"),
        (["sweep", "runs/s/study.yaml"], 2, "to repeat the study, use --study runs/s/study.yaml"),
    ):
        assert said in optilab(*line, code=code).stderr


def test_a_study_elsewhere_is_not_begun_anew_under_its_name(optilab, small, tmp_path):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1", "--name", "s", "--quiet")
    (tmp_path / "runs").rename(tmp_path / "old")
    refused = optilab("sweep", "--resume", "old/s", code=4).stderr
    assert "old/s is not in runs; continue it with: optilab sweep --resume s --runs-dir old" in refused
    assert not (tmp_path / "runs").exists()
    other = optilab("remedy", "--resume", "old/s", code=4).stderr
    assert "continue it with: optilab sweep --resume s --runs-dir old" in other
    assert optilab("sweep", "--resume", "s", "--runs-dir", "old", "--quiet").stdout == "old/s\n"


def test_a_study_keeps_the_command_that_makes_it_from_nothing(optilab, small, tmp_path):
    optilab("sweep", small, "--over", "optimizer.lr=0.1,1", "--name", "s", "--quiet")
    optilab("sweep", "--resume", "s", "--metric", "val_loss", "--quiet")
    argv = runs.read_study(tmp_path / "runs" / "s").manifest["argv"]
    over, name = ["--over", "optimizer.lr=0.1,1"], ["--name", "s"]
    assert argv[1:] == ["sweep", str(small), *over, *name, "--quiet", "--metric", "val_loss", "--quiet"]


def test_a_lost_index_is_made_again_from_the_runs(optilab, small, tmp_path):
    command = ["sweep", small, "--over", "optimizer.lr=0.1,1", "--quiet", "--name", "s"]
    optilab(*command)
    before = files(tmp_path / "runs" / "s")
    (tmp_path / "runs" / "s" / "trials.csv").unlink()
    optilab(*command)
    assert files(tmp_path / "runs" / "s") == before


def test_a_trial_that_fails_is_named_the_others_go_on(optilab, small):
    """100 images in batches of 33 leave a batch of one, which has no batch statistics."""
    command = ["sweep", small, "--over", "data.batch_size=33,50", "--set", "model.norm=batch", "--json"]
    done = optilab(*command, "--jobs", 1, code=8)
    failed, whole = json.loads(done.stdout)["trials"]
    assert (failed["status"], whole["status"]) == ("failed", "done")
    assert f"{failed['trial']} failed: {failed['reason']}" in done.stderr
    assert "1 of 2 trials done, 1 failed" in optilab("runs", "ls").stdout
    fast = json.loads(optilab(*command, "--jobs", 1, "--fail-fast", code=8).stdout)
    assert [trial["status"] for trial in fast["trials"]] == ["failed"]


def test_a_divergence_is_a_result(optilab, small):
    done = optilab("sweep", small, "--over", "optimizer.lr=0.1,1e30", "--json")
    trials = json.loads(done.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["done", "diverged"]
    assert "loss is" in trials[1]["reason"]


def test_a_dry_run_tells_the_cost_and_writes_nothing(optilab, small, tmp_path):
    command = ["sweep", small, *OVER, "--seeds", 2, "--epochs", 3, "--name", "s"]
    planned = optilab(*command, "--dry-run").stdout
    shape = "3 values of optimizer.lr x 2 values of model.init x 2 seeds"
    assert planned.startswith(f"12 trials: {shape}, 3 epochs each; at least 0:0")
    assert not (tmp_path / "runs").exists()
    optilab(*command, "--seeds", 1, "--quiet")
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "runs").rglob("*"))
    cost = json.loads(optilab(*command, "--dry-run", "--json").stdout)
    assert (cost["trials"], cost["missing"], cost["epochs"], cost["longest"]) == (12, 6, 36, 3)
    assert cost["bytes"] == 6 * (cost["bytes"] // 6) > 0 < cost["seconds"]
    assert sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "runs").rglob("*")) == before
    refused = optilab(*command, "--dry-run", "--set", "model.activation=tanh", code=4).stderr
    assert "was started with other settings" in refused
    refused = optilab("sweep", small, *OVER, "--set", "data.holdout=5000", "--dry-run", code=2).stderr
    assert "data.holdout: a hold-out of 5000" in refused


def test_a_sweep_that_cannot_tell_ends_with_what_to_type(optilab, small):
    """New seeds first; more seeds are a second look at the old ones, and say what that costs. Both run as printed."""
    said = optilab(
        "sweep", small, "--over", "optimizer.lr=0.5,0.55", "--epochs", 4, "--seeds", 3, "--name", "s"
    ).stdout
    first, second = re.findall(r"^ +(?:next|or): optilab (.*?) \((.*)\)$", said, re.MULTILINE)
    assert first[0] == "sweep --resume s --confirm 2"
    enough = "to tell them apart, if the difference is what it seems"
    takes = r"at least \d+:\d\d on one core, judged at"
    assert re.fullmatch(
        rf"trains the 2 settings with the best means again, each from 5 new seeds: 10 trainings, {takes} 95%",
        first[1],
    )
    more = int(re.fullmatch(r"sweep --resume s --seeds (\d+)", second[0])[1]) - 3
    assert re.fullmatch(
        rf"{more} more for each of the 2 settings {enough}, a further look: {2 * more} trainings, {takes} 97.5%",
        second[1],
    )
    again = optilab(*first[0].split()).stdout
    assert "the best 2 settings again, from the new seeds" in again
    upper = re.search(r" [-+]\d+\.\d to \+(\d+\.\d) .* cannot tell ", again.partition("again, from the new")[2])
    assert f"at stake: of these 2, none is more than {upper[1]} percentage points better than lr 0.5" in again
    (third,) = re.findall(r"^ +(?:next|or): optilab (.*?) \((.*)\)$", again, re.MULTILINE)
    more = int(re.fullmatch(r"sweep --resume s --confirm-seeds (\d+)", third[0])[1]) - 5
    assert re.fullmatch(
        rf"trains {more} more new seeds of each of these 2 {enough}: {2 * more} trainings, {takes} 97.5%", third[1]
    )
    compared = optilab("runs", "compare", "s").stdout
    assert compared.splitlines()[-4:] == again.splitlines()[-5:-1]


def test_a_best_value_at_the_end_of_an_axis_is_said(optilab, small):
    """Rates that change nothing are equal; none of them is the best of its optimizer."""
    axes = ["--over", "optimizer=sgd,adam", "--over", "optimizer.lr=1e-9,1e-8,0.01"]
    printed = optilab("sweep", small, *axes, "--epochs", 2, "--jobs", 1, "--name", "s").stdout
    (end,) = re.findall(r"^ +or: (.* best at .*)$", printed, re.M)
    found = re.fullmatch(
        r"optilab (sweep --resume s --over optimizer.lr=1e-9,1e-8,0.01,0.1) \((adam is|adam and sgd are) best at "
        r"the largest optimizer.lr that was tried, 0.01, and this tries 0.1, too\)",
        end,
    )
    assert "8 trials: " in optilab(*found[1].split(), "--dry-run").stdout


def test_the_next_value_of_a_range_goes_with_those_that_were_tried(optilab, small):
    over = ["--over", "optimizer.lr=0.002:0.1:4:log", "--epochs", 15, "--seeds", 2, "--name", "s"]
    said = optilab("sweep", small, *over).stdout
    (line,) = re.findall(r"optilab (sweep --resume s --over \S+) \(the optimizer is best at the", said)
    assert (
        "10 trials: 5 values of optimizer.lr x 2 seeds, 15 epochs each; 8 done already"
        in optilab(*line.split(), "--dry-run").stdout
    )


def test_a_rate_that_is_part_of_an_entry_has_no_axis_of_its_own(optilab, small):
    entries = ",".join(f"{{name: sgd, lr: {rate}}}" for rate in (0.01, 0.1, 1.0))
    said = optilab(
        "sweep", small, "--over", f"optimizer={entries}", "--epochs", 15, "--seeds", 2, "--name", "s"
    ).stdout
    assert "best at the largest optimizer.lr that was tried, 1: try larger ones" in said
    assert "verdict: " in optilab("runs", "compare", "s").stdout


def test_no_number_of_seeds_is_named_where_nothing_is_learned(optilab, small):
    said = optilab("sweep", small, "--over", "optimizer.lr=1e-9,1e-5", "--seeds", 3, "--epochs", 1).stdout
    assert "note: no row is better than chance: more seeds will hardly help" in said
    assert "further seed" not in said


def test_a_confirmation_grows_by_seeds_of_its_own(optilab, small, tmp_path):
    """Without a training of the grid; all that reads the study answers from the seeds and settings asked last."""
    command = ["sweep", small, "--over", "optimizer.lr=0.01,0.1,0.2", "--epochs", 1, "--name", "s"]
    optilab(*command, "--confirm", 3, "--set", "data.holdout=50", "--quiet")
    grown = ["sweep", "--resume", "s", "--confirm", 2, "--confirm-seeds", 7]
    assert "25 trials" not in (planned := optilab(*grown, "--dry-run").stdout)
    assert planned.startswith("17 trials: 3 values of optimizer.lr x 1 seed, then the best 2 x 7 new seeds")
    assert "13 done already" in planned
    shown = json.loads(optilab(*grown, "--json").stdout)
    new = {str(seed) for seed in range(10042, 10049)}
    assert [group["outcomes"].keys() for group in shown["confirmation"]["groups"]] == [new] * 2
    assert shown["confirmation"]["level"] == 0.025
    compared = json.loads(optilab("runs", "compare", "s", "--json").stdout)
    reported = json.loads(optilab("report", "s", "--json", "--out", "s.html").stdout)["comparison"]
    selection = compared["selection"]
    assert compared == reported | {"schema_version": 1}
    assert reported == shown["confirmation"] | {"selection": selection}
    assert (selection["groups"], selection["verdict"]) == (
        shown["comparison"]["groups"],
        shown["comparison"]["verdict"],
    )
    assert compared["measure"]["metric"] == "test_acc"
    rows = optilab("runs", "compare", "s", "--format", "csv").stdout.splitlines()
    assert [row.split(",")[2] for row in rows] == ["n", "7", "7"]
    study = Lab(tmp_path / "runs").load("s")
    assert study.verdict == study.comparison.verdict == compared["verdict"]
    assert "note: 3 groups: no interval with a single seed" in optilab("runs", "compare", "s").stdout
    # Another comparison is of the settings that the study tried.
    other = json.loads(optilab("runs", "compare", "s", "--metric", "val_loss", "--json").stdout)
    assert (len(other["groups"]), other["selection"]) == (3, None)
    refused = optilab(*grown[:-1], 6, code=4).stderr
    assert "has 7 new seeds, and 6 would be fewer; add --confirm-seeds 7" in refused
    refused = optilab(*command[:4], "--confirm-seeds", 7, code=2).stderr
    assert "--confirm-seeds: no setting is trained again: add --confirm 3" in refused


def test_a_sweep_in_which_nothing_is_learned_proposes_no_more_seeds(optilab, small):
    said = optilab(
        "sweep", small, "--over", "optimizer.lr=1e-7,1e-8", "--epochs", 1, "--seeds", 2, "--name", "s"
    ).stdout
    assert "no row is better than chance" in said
    (command,) = re.findall(r"^ +next: optilab (.*)$", said, re.MULTILINE)
    assert re.fullmatch(r"diagnose runs/s/1e-[78]-s\d+-\w+", command)
    optilab(*command.split())


def test_a_study_that_has_grown_since_it_was_compared_pays_for_it(optilab, small, tmp_path):
    command = ["sweep", small, "--over", "optimizer.lr=0.01,0.1", "--epochs", 1, "--name", "s", "--json"]
    claim, level = ["--expect", "lr 0.1: val_loss > 0 confidence 0.6"], {}
    for seeds in (1, 2, 3, 3):
        document = json.loads(optilab(*command, "--seeds", seeds, *claim * (seeds > 1)).stdout)
        level[seeds] = document["comparison"]["level"]
    assert level == {1: 0.05, 2: 0.05, 3: 0.025}  # one seed has no verdict, and the same seeds are the same look
    assert len(runs.read_study(tmp_path / "runs" / "s").manifest["looks"]) == 2
    assert "at look 2" in document["expect"][0]["why"]
    shown = optilab("runs", "compare", "s", "--metric", "val_loss").stdout
    assert "compared once before with other trainings" in shown
    assert " 97.5% " in shown
    compared = json.loads(optilab("runs", "compare", "s", "--metric", "val_loss", "--json").stdout)
    # A baseline that is named after the data were seen is a further look.
    named = json.loads(
        optilab("runs", "compare", "s", "--metric", "val_loss", "--baseline", "lr 0.1", "--json").stdout
    )
    assert named["level"] == 0.0125
    assert any(
        "compared 2 times before with other trainings or without this baseline" in n for n in named["notes"]
    )
    taken = [list(group["outcomes"].values()) for group in compared["groups"]]
    differences = np.subtract(*map(np.array, taken))
    half = scipy.stats.t.ppf(1 - 0.025 / 2, 2) * differences.std(ddof=1) / np.sqrt(3)
    (low, high) = next(group["contrast"]["interval"] for group in compared["groups"] if group["contrast"])
    assert high - low == pytest.approx(2 * half)


def test_a_confirmation_that_has_grown_pays_for_it_too(optilab, small, tmp_path):
    """The seeds of a confirmation are new once: with more of them, or with other settings, they are looked at again."""
    command = ["sweep", small, "--over", "optimizer.lr=0.01,0.1,0.2", "--epochs", 1, "--name", "s"]
    claim, level = ["--expect", "val_loss > 0 confidence 0.6"], []
    for seeds, best in ((2, 0), (2, 2), (2, 2), (2, 3), (6, 3)):
        confirm = ["--confirm", best, *claim] if best else []
        document = json.loads(optilab(*command, "--seeds", seeds, *confirm, "--json").stdout)
        level.append((document["confirmation"] or {}).get("level"))
    assert level == [None, 0.05, 0.05, 0.025, 0.0125]
    assert "at look 3" in document["expect"][0]["why"]
    assert "at look 3" in optilab("check", "s", *claim).stdout
    assert document["comparison"]["level"] == 0.025  # six seeds after two; a confirmation is no look at the others


def test_a_study_that_has_grown_by_settings_pays_for_it_too(optilab, small):
    """The same seeds are looked at again, in a table of more rows."""
    level = []
    for rates in ("0.01,0.1", "0.1,0.01", "0.01,0.1,0.2"):
        grown = ["sweep", small, "--over", f"optimizer.lr={rates}", "--seeds", 2, "--epochs", 1, "--name", "s"]
        level.append(json.loads(optilab(*grown, "--json").stdout)["comparison"]["level"])
    assert level == [0.05, 0.05, 0.025]


def test_a_dry_run_says_what_the_design_can_tell(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.001:1:4:log", "--seeds", 3, "--epochs", 1]
    said = optilab("sweep", small, *over, "--dry-run").stdout
    assert "percentage points to the best val_acc, if seeds differ by 1 percentage point (" in said
    assert "(standard deviation, a guess)" in said
    optilab("sweep", small, *over, "--name", "before", "--quiet")
    document = json.loads(optilab("sweep", small, *over, "--metric", "val_loss", "--dry-run", "--json").stdout)
    rates: dict[float, list[float]] = {}
    for row in runs.read_study(tmp_path / "runs" / "before").trials():
        rates.setdefault(row["optimizer.lr"], []).append(row["val_loss"])
    variances = np.array([np.var(own, ddof=1) for own in rates.values() if np.var(own)])
    noise = np.mean(variances**1.5) ** (1 / 3)
    assert document["design"]["groups"] == len(variances)
    assert document["design"]["noise"] == pytest.approx(noise)
    assert document["design"]["difference"] == pytest.approx(noise * smallest_difference(4, 3))
    confirm = ["--metric", "val_loss", "--confirm", 2, "--dry-run", "--json"]
    document = json.loads(optilab("sweep", small, *over, *confirm).stdout)
    assert document["design"]["difference"] == pytest.approx(noise * smallest_difference(2, 5))
    other = optilab("sweep", small, *over, "--epochs", 2, "--dry-run").stdout
    assert "a guess" in other  # of more epochs nothing is known


def test_a_design_of_too_few_seeds_promises_no_impossible_difference():
    said = studies._can_tell(sweep.Design(1.2, 0.1, 2), Measure("val_acc"))
    assert said.startswith(
        "would hardly find any difference in val_acc, if seeds differ by 10 percentage points ("
    )
    assert studies._can_tell(sweep.Design(1.2, 0.1, 2), Measure("val_loss")).startswith(
        "would find, with a probability of 80%, a difference of 1.2 to the best"
    )


def test_the_columns_of_trials_csv_do_not_depend_on_what_ended_first(optilab, small, tmp_path):
    """A study that was stopped among the trials that confirm its best has the stage of a trial in another place."""
    command = [
        "sweep",
        small,
        "--over",
        "optimizer.lr=0.01,0.1",
        "--set",
        "data.holdout=50",
        "--seeds",
        1,
        "--epochs",
        1,
    ]
    optilab(*command, "--confirm", 1, "--name", "s", "--quiet")
    study = tmp_path / "runs" / "s"
    whole, manifest = files(study), json.loads((study / "manifest.json").read_text())
    rows = runs.read_study(study).trials()
    assert [row["stage"] for row in rows].count("confirmation") == 5
    confirmed, chosen = [row for row in rows if row["stage"]], [row for row in rows if not row["stage"]]
    first = ("trial", "optimizer.lr", "stage")
    moved = [{key: row[key] for key in dict.fromkeys((*first, *row))} for row in [*confirmed, *chosen]]
    (study / "trials.csv").write_bytes(runs.table(moved[:-1]))
    (study / "manifest.json").write_text(json.dumps({**manifest, "status": "interrupted"}))
    optilab(*command, "--confirm", 1, "--name", "s", "--quiet")
    assert files(study) == whole


# --- successive halving ------------------------------------------------------------------------------------


def test_the_rungs():
    assert rungs(27, 27, 3) == [(27, 1), (9, 3), (3, 9), (1, 27)]
    assert rungs(9, 300, 3) == [(9, 34), (3, 100), (1, 300)]
    assert rungs(100, 4, 2) == [(100, 1), (50, 2), (25, 4)]
    assert rungs(1, 10, 2) == [(1, 10)]


def test_a_promoted_trial_is_one_that_ran_through(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.001:1:4:log", "--epochs", 4, "--quiet", "--name"]
    optilab("sweep", small, *over, "all")
    optilab("sweep", small, *over, "halved", "--halving", 2, "--seeds", 1, "--confirm", 0)
    whole, halved = (runs.read_study(tmp_path / "runs" / name) for name in ("all", "halved"))
    rows = halved.trials()
    assert sorted((row["status"], row["epochs"]) for row in rows) == [
        ("done", 4),
        ("stopped", 1),
        ("stopped", 1),
        ("stopped", 2),
    ]
    for row in rows:
        through = runs.read(whole.path / row["trial"]).rows()[: row["epochs"]]
        assert runs.read(halved.path / row["trial"]).rows() == through
    # Each rung keeps the best of those that reached it.
    best = {row["trial"]: runs.read(whole.path / row["trial"]).rows() for row in rows}
    first = sorted(best, key=lambda name: -best[name][0]["val_acc"])
    second = sorted(first[:2], key=lambda name: -best[name][1]["val_acc"])
    assert {row["trial"] for row in rows if row["epochs"] > 1} == set(first[:2])
    assert [row["trial"] for row in rows if row["epochs"] == 4] == second[:1]
    before = files(halved.path)
    optilab("sweep", small, *over, "halved", "--halving", 2, "--confirm", 0)
    assert files(halved.path) == before


def test_the_best_settings_are_judged_on_new_seeds(optilab, small, tmp_path):
    over = ["--over", "optimizer.lr=0.001:1:4:log", "--set", "data.holdout=50", "--epochs", 1, "--name", "s"]
    before = optilab("sweep", small, *over).stdout
    assert "the best of 4 settings was chosen by these seeds, so its mean is too high; --confirm K" in before
    study = tmp_path / "runs" / "s"
    kept = {path: files(path) for path in study.iterdir() if path.is_dir()}
    shown = optilab("sweep", small, *over, "--confirm", 2).stdout  # the same study goes on
    assert "4 values of optimizer.lr x 1 seed, then the best 2 x 5 new seeds, 1 epoch: 14 done" in shown
    assert "the best 2 settings again, from the new seeds 10042 to 10046, on the test set" in shown
    assert shown.count("verdict: ") == 1
    assert "is too high" not in shown
    assert {path: files(path) for path in kept} == kept
    rows = runs.read_study(study).trials()
    again = [row for row in rows if row["stage"]]
    assert sorted(row["seed"] for row in again) == sorted(2 * list(range(10042, 10047)))
    best = sorted((row for row in rows if not row["stage"]), key=lambda row: -row["val_acc"])[:2]
    assert {row["optimizer.lr"] for row in again} == {row["optimizer.lr"] for row in best}
    document = json.loads(optilab("sweep", "--resume", "s", "--json").stdout)
    assert document["confirmation"]["measure"]["metric"] == "test_acc"
    assert [group["summary"]["n"] for group in document["confirmation"]["groups"]] == [5, 5]
    # What chose is not mixed with what confirms, in curves neither.
    curves = json.loads(optilab("runs", "plot", "s", "--curves", "--json").stdout)
    assert [group["seeds"] for group in curves["groups"]] == [[42]] * 4
    compared = optilab("runs", "compare", "s").stdout
    assert "seed 42" in compared.splitlines()[0]
    assert shown.splitlines()[1:-1] == compared.splitlines()
    said = "note: s: 10 runs of --confirm are left out; optilab sweep --resume s compares them"
    assert said in optilab("runs", "compare", "s", "--metric", "val_acc").stdout
    reported = optilab("report", "s", "--out", "s.html").stdout
    assert "left out" not in reported
    # The answer of a report is that of the confirmation, and no next step is the one that was made.
    (verdict,) = re.findall("^verdict: (.*)$", shown, re.MULTILINE)
    assert f"verdict: from new seeds, {verdict}" in reported
    written = (tmp_path / "s.html").read_text()
    assert "From new seeds, " in written
    assert "From the seeds that chose them" in written
    assert "As a next step, train" not in written
    (line,) = [line for line in optilab("runs", "ls").stdout.splitlines() if line.startswith("s ")]
    assert "4 values of lr x 1 seed  " in line
    assert "14 of 14 trials done" in line
    assert (
        "nothing is chosen without an axis" in optilab("sweep", small, "--seeds", 2, "--confirm", 2, code=2).stderr
    )
