"""Runs that come from another machine: verified before they are published, or nothing is changed."""

import hashlib

import pytest

from optilab.errors import CheckpointError, DataError
from optilab.study import cluster_worker
from tests.run import run as command


def accept(run):
    """Any run."""


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert command(["train", str(small), "--quiet", "--name", "t"], folder, {}).returncode == 0
    return folder / "runs" / "t"


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_run_arrives_as_it_was(trained, tmp_path):
    (trained / ".metrics.csv.tmp-0123abcd").touch()  # of a write that a kill ended
    packed = cluster_worker.pack(trained)
    (trained / ".metrics.csv.tmp-0123abcd").unlink()
    cluster_worker.unpack(packed, tmp_path / "worker" / "t")
    assert tree(tmp_path / "worker" / "t") == tree(trained)
    for _ in range(2):  # in place of an earlier state
        cluster_worker.receive(packed, tmp_path / "study" / "t", accept)
        assert tree(tmp_path / "study" / "t") == tree(trained)
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["t"]


def test_a_damaged_run_is_not_published(trained, tmp_path):
    whole = cluster_worker.pack(trained)
    (newest,) = [name for name in whole if name.startswith("checkpoints/000003")]
    cluster_worker.receive(whole, tmp_path / "t", accept)
    for name in ("metrics.csv", newest):
        digest, data = whole[name]
        flipped = bytes([data[0] ^ 1]) + data[1:]
        with pytest.raises(DataError, match="damaged on its way"):
            cluster_worker.receive({**whole, name: (digest, flipped)}, tmp_path / "t", accept)
        with pytest.raises(DataError, match="damaged on its way"):
            cluster_worker.unpack({**whole, name: (digest, flipped)}, tmp_path / "u")
    # Damage on the worker's disk has the right digest on the way, and not the one in the name of the checkpoint.
    damaged = {**whole, newest: (hashlib.sha256(flipped).hexdigest(), flipped)}
    with pytest.raises(CheckpointError, match="is damaged"):
        cluster_worker.receive(damaged, tmp_path / "t", accept)
    assert tree(tmp_path / "t") == tree(trained)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("name", ["../t", "/tmp/t", "checkpoints/../../t", "a/b", "", ".hidden", "checkpoints/"])
def test_no_file_is_written_outside_the_run(name, trained, tmp_path):
    packed = {**cluster_worker.pack(trained), name: (hashlib.sha256(b"x").hexdigest(), b"x")}
    with pytest.raises(DataError, match="is not a file of a run"):
        cluster_worker.receive(packed, tmp_path / "t", accept)
    assert not [*tmp_path.iterdir()]
