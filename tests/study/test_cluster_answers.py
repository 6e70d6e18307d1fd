"""Answers of a cluster's worker: only what was asked for is accepted, and a run is published whole or not at all."""

import copy
import json
from hashlib import sha256
from types import SimpleNamespace

import pytest

from optilab import runs
from optilab.config.load import load
from optilab.config.section import dump
from optilab.config.training import TrainConfig
from optilab.errors import CheckpointError, DataError
from optilab.study import cluster_worker
from optilab.study.cluster import Cluster, _Task
from optilab.study.pool import AnswerRefused
from tests.run import run as command

WORKER = "tcp://10.0.0.7:4000"


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert command(["train", str(small), "--quiet", "--name", "t"], folder, {}).returncode == 0
    return folder / "runs" / "t"


class FakeCluster(Cluster):
    """A cluster without a scheduler, whose one worker has answered."""

    def __init__(self, study, digests, shared):
        self._study, self._digests, self._shared = study, digests, {WORKER} if shared else set()
        self.refused = {}

    def _refuse(self, worker, reason):
        self.refused[worker] = reason


@pytest.fixture
def asked(trained, tmp_path):
    """What was asked for, the true answer, and the files of the run."""
    record = runs.read(trained)
    return SimpleNamespace(
        task=_Task(WORKER, None, load(TrainConfig, str(trained / "config.yaml")), "t", 3),
        ended={"status": "done", "reason": "", "seconds": 1.5, "outcome": record.outcome()},
        files=cluster_worker.pack(trained),
        digests=record.manifest["data"]["sha256"],
        study=tmp_path / "study",
    )


def accepted(asked, answer, shared=False):
    """What the cluster makes of an answer; None where it refuses the worker."""
    asked.study.mkdir(exist_ok=True)
    cluster = FakeCluster(asked.study, asked.digests, shared)
    try:
        return cluster.result(SimpleNamespace(result=lambda: (asked.task, answer)))
    except AnswerRefused:
        return None
    finally:
        asked.refused = list(cluster.refused)


def test_the_true_answer_is_accepted(asked):
    assert accepted(asked, (asked.ended, asked.files)) == asked.ended
    assert asked.refused == []
    assert runs.read(asked.study / "t").outcome() == asked.ended["outcome"]
    failed = {"status": "failed", "reason": "no such device", "seconds": 0.1}
    assert accepted(asked, (failed, None)) == accepted(asked, (failed, None), shared=True) == failed


def _file(name, data):
    return {name: (sha256(data).hexdigest(), data)}


def _manifest(files, **changes):
    return _file("manifest.json", json.dumps({**json.loads(files["manifest.json"][1]), **changes}).encode())


def _other_config(ended, files):
    tree = {**dump(load(TrainConfig, json.loads(files["manifest.json"][1])["config"])), "epochs": 9}
    return ended, {**files, **_file("config.yaml", json.dumps(tree).encode())}


def _outcome(**changes):
    return lambda ended, files: ({**ended, "outcome": {**ended["outcome"], **changes}}, files)


FORGED = {
    "no files": lambda ended, files: (ended, None),
    "infinite seconds": lambda ended, files: ({**ended, "seconds": float("inf")}, files),
    "a better outcome": _outcome(val_acc=0.999),
    "another dataset": lambda ended, files: (ended, {**files, **_manifest(files, data={"sha256": {"x": "0"}})}),
    "another config": _other_config,
    "a wrong checksum": lambda ended, files: (ended, {**files, "metrics.csv": ("0" * 64, b"epoch\n")}),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_answer_is_refused_and_not_published(what, asked):
    assert accepted(asked, FORGED[what](copy.deepcopy(asked.ended), dict(asked.files))) is None
    assert asked.refused == [WORKER]
    assert list(asked.study.iterdir()) == []


def test_a_worker_with_a_shared_disk_sends_no_files(asked, trained):
    assert accepted(asked, (asked.ended, None), shared=True) is None
    assert accepted(asked, (asked.ended, asked.files), shared=True) is None
    asked.study = trained.parent
    assert accepted(asked, (asked.ended, None), shared=True) == asked.ended
    better = {**asked.ended, "outcome": {**asked.ended["outcome"], "val_acc": 0.999}}
    assert accepted(asked, (better, None), shared=True) is None


# --- the files of a run ------------------------------------------------------------------------------------


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def receive(packed, folder):
    cluster_worker.receive(packed, folder, lambda run: None)


def test_a_run_arrives_as_it_was(trained, tmp_path):
    (trained / ".metrics.csv.tmp-0123abcd").touch()  # of a write that a kill ended
    packed = cluster_worker.pack(trained)
    (trained / ".metrics.csv.tmp-0123abcd").unlink()
    cluster_worker.unpack(packed, tmp_path / "worker" / "t")
    assert contents(tmp_path / "worker" / "t") == contents(trained)
    for _ in range(2):  # in place of an earlier state
        receive(packed, tmp_path / "study" / "t")
        assert contents(tmp_path / "study" / "t") == contents(trained)
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["t"]


def test_a_damaged_run_is_not_published(trained, tmp_path):
    whole = cluster_worker.pack(trained)
    (newest,) = [name for name in whole if name.startswith("checkpoints/000003")]
    receive(whole, tmp_path / "t")
    digest, data = whole[newest]
    flipped = bytes([data[0] ^ 1]) + data[1:]
    for take in (receive, cluster_worker.unpack):
        with pytest.raises(DataError, match="damaged on its way"):
            take({**whole, newest: (digest, flipped)}, tmp_path / "t")
    # Damage on the worker's disk has the right checksum on the way, and not the one in the name of the checkpoint.
    with pytest.raises(CheckpointError, match="is damaged"):
        receive({**whole, **_file(newest, flipped)}, tmp_path / "t")
    assert contents(tmp_path / "t") == contents(trained)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize(
    "name", ["../t", "/tmp/t", "checkpoints/../../t", "", ".hidden", "x\n", "METRICS.CSV", "study.yaml", "x" * 300]
)
def test_no_other_name_is_written(name, trained, tmp_path):
    with pytest.raises(DataError, match=r"is not a file of a run|names that are one name"):
        receive({**cluster_worker.pack(trained), **_file(name, b"x")}, tmp_path / "t")
    assert not [*tmp_path.iterdir()]
