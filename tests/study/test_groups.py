"""Runs sorted into groups by everything but the seed."""

import json
import tracemalloc

import pytest

from optilab import runs
from optilab.errors import CheckpointError, RunError
from optilab.judge.groups import DATA_DIGEST, groups, select_runs, settings, short_names
from optilab.judge.measure import Measure, values_of
from tests.kit.generated import DIGESTS, planned, training


def grouped(folder, by=()):
    return groups(select_runs(folder, ["*"]).records, by)


def test_a_group_differs_in_nothing_but_the_seed(tmp_path):
    for seed in (7, 5, 6):
        training(tmp_path, f"relu-{seed}", f"seed={seed}", "model.activation=relu")
        training(tmp_path, f"tanh-{seed}", f"seed={seed}", "model.activation=tanh")
    relu, tanh = grouped(tmp_path).groups
    assert [relu.label, tanh.label] == ["activation relu", "activation tanh"]
    assert relu.settings == {"model.activation.name": "relu"}
    assert list(relu.runs) == [5, 6, 7]
    assert [record.name for record in tanh.runs.values()] == ["tanh-5", "tanh-6", "tanh-7"]


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        *[(change, []) for change in ("name=other", "threads=1", "device=cpu", "probes=0", "checkpoint_every=5")],
        ("data.dir=/elsewhere", []),
        *[(change, [change.partition("=")[0]]) for change in ("epochs=7", "dtype=float64", "data.batch_size=64")],
    ],
)
def test_where_and_how_a_training_ran_is_not_a_setting(tmp_path, change, differing):
    """What the numbers depend on is."""
    training(tmp_path, "a", "seed=1")
    training(tmp_path, "b", "seed=2", change)
    grouping = grouped(tmp_path)
    assert grouping.differing == differing
    assert [list(group.runs) for group in grouping.groups] == ([[1], [2]] if differing else [[1, 2]])


def test_trainings_on_other_data_never_share_a_group(tmp_path):
    training(tmp_path, "a")
    data = {"dataset": "idx", "sha256": {**DIGESTS, "train-images-idx3-ubyte": "11" * 32}}
    training(tmp_path, "b", data=data)
    assert grouped(tmp_path).differing == [DATA_DIGEST]


def test_by_a_label_that_is_no_setting(tmp_path):
    training(tmp_path, "a", "seed=1", "name=first")
    training(tmp_path, "b", "seed=1", "name=second")
    assert len(grouped(tmp_path).groups) == 1
    assert [group.label for group in grouped(tmp_path, ["name"]).groups] == ["name first", "name second"]


def test_of_two_runs_of_one_training_the_one_that_went_furthest_counts(tmp_path):
    training(tmp_path, "complete", accuracies=(0.1, 0.2))
    training(tmp_path, "stopped", accuracies=(0.1, 0.2, 0.3), status="interrupted")
    training(tmp_path, "shorter", accuracies=(0.1,))
    grouping = grouped(tmp_path)
    assert [run.name for run in grouping.groups[0].runs.values()] == ["complete"]
    assert {record.name for record in grouping.repeated} == {"stopped", "shorter"}


def test_settings_that_follow_from_an_entry_are_not_in_the_label(tmp_path):
    training(tmp_path, "a", "optimizer={name: sgd, lr: 0.1}")
    training(tmp_path, "b", "optimizer={name: adam, lr: 0.001}")
    grouping = grouped(tmp_path)
    assert [group.label for group in grouping.groups] == ["sgd", "adam"]
    assert "optimizer.beta1" in grouping.groups[1].settings
    assert "optimizer.beta1" not in grouping.groups[0].settings


def test_short_keys_stay_distinct():
    keys = ["optimizer.lr", "schedule.lr", "model.norm.name", "epochs"]
    assert [*short_names(keys).values()] == ["optimizer.lr", "schedule.lr", "norm", "epochs"]
    own = ["/a.b/own.py:Own.lr", "own.py:Own.beta", "adam.lr", "w <- 0.5*g.lr"]
    assert [*short_names(own).values()] == ["/a.b/own.py:Own.lr", "beta", "adam.lr", "w <- 0.5*g.lr"]


def test_a_study_stands_for_its_trials(tmp_path):
    study = runs.open_study(
        tmp_path, "study", b"config: relu\n", {"command": "remedy", "versions": {"optilab": "1"}, "trials": 2}
    )
    training(study.path, "a", "seed=1")
    training(study.path, "b", "seed=2")
    training(study.path, "no trial", "seed=3")
    study.finish("done", trials=0)
    planned(study.path, [{"trial": "a"}, {"trial": "b"}])
    single = training(tmp_path, "single", "seed=3")
    selection = select_runs(tmp_path, ["study", "single", "single"])
    records = selection.records
    assert [record.name for record in records] == ["a", "b", "single"]
    assert selection.notes == ["study: left out, because its plan does not name them: no trial"]
    assert records[-1].path == single


@pytest.mark.parametrize("where", ["config.yaml", "manifest.json"])
def test_a_setting_that_was_edited_is_refused_wherever_it_was(where, tmp_path):
    """The checksum of both says that neither was; a run without one is compared key by key."""
    path = training(tmp_path, "run", "optimizer.lr=0.25", accuracies=[0.5])
    facts = json.loads((path / "manifest.json").read_text())
    found = settings(runs.read(path))
    for digest in ("", facts["config_sha256"]):
        (path / "manifest.json").write_text(json.dumps({**facts, "config_sha256": digest}))
        assert settings(runs.read(path)) == found
        whole = (path / where).read_text()
        (path / where).write_text(whole.replace("0.25", "0.5"))
        with pytest.raises(RunError, match=r"optimizer\.lr: 0\.\d+ -> 0\.\d+"):
            settings(runs.read(path))
        (path / where).write_text(whole)


def test_many_runs_need_little_memory(tmp_path):
    """Neither their texts nor their rows are kept."""
    for seed in range(20):
        training(tmp_path, f"r{seed}", f"seed={seed}", "epochs=100", accuracies=[0.5] * 100)
    groups(select_runs(tmp_path, ["r1*"]).records)
    tracemalloc.start()
    try:
        grouping = groups(select_runs(tmp_path, ["*"]).records)
        assert tracemalloc.get_traced_memory()[0] < 20 * 10 * 1024
        assert values_of(grouping.groups, Measure())[0].values.keys() == {*range(20)}
        assert tracemalloc.get_traced_memory()[1] < 20 * 20 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("key", ["name", "seed", "epochs"])
@pytest.mark.parametrize("value", [None, [], "absent"])
def test_a_manifest_without_a_readable_config_is_damaged(tmp_path, key, value):
    file = training(tmp_path, "one", "seed=1") / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["config"][key] = value
    if value == "absent":
        del manifest["config"][key]
    file.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=rf"manifest\.json is damaged: .*{key}"):
        grouped(tmp_path)
