"""What a cluster's worker answers, true and false: only what was asked for is believed, the rest is refused by name."""

import copy
import json
from hashlib import sha256
from types import SimpleNamespace

import pytest

from optilab import runs
from optilab.config.load import dump, load
from optilab.config.training import TrainConfig
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


class Believer(Cluster):
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
    ended = {"status": "done", "reason": "", "seconds": 1.5, "outcome": record.outcome()}
    config = load(TrainConfig, str(trained / "config.yaml"))
    return SimpleNamespace(
        task=_Task(WORKER, None, config, "t", 3),
        ended=ended,
        files=cluster_worker.pack(trained),
        digests=record.manifest["data"]["sha256"],
        study=tmp_path / "study",
    )


def believed(asked, answer, shared=False):
    """What the cluster makes of an answer; None where it refuses the worker."""
    asked.study.mkdir(exist_ok=True)
    cluster = Believer(asked.study, asked.digests, shared)
    future = SimpleNamespace(result=lambda: (asked.task, answer))
    try:
        return cluster.result(future)
    except AnswerRefused:
        return None
    finally:
        asked.refused = list(cluster.refused)


def test_the_true_answer_is_believed(asked):
    assert believed(asked, (asked.ended, asked.files)) == asked.ended
    assert asked.refused == []
    assert runs.read(asked.study / "t").outcome() == asked.ended["outcome"]


def test_a_trial_that_failed_has_no_run(asked):
    failed = {"status": "failed", "reason": "no such device", "seconds": 0.1}
    assert believed(asked, (failed, None)) == failed
    assert believed(asked, (failed, None), shared=True) == failed


def _file(name, data):
    return {name: (sha256(data).hexdigest(), data)}


def _manifest(**changes):
    def change(ended, files):
        manifest = {**json.loads(files["manifest.json"][1]), **changes}
        return ended, {**files, **_file("manifest.json", json.dumps(manifest).encode())}

    return change


def _config(**changes):
    def change(ended, files):
        tree = {**dump(load(TrainConfig, json.loads(files["manifest.json"][1])["config"])), **changes}
        return ended, {**files, **_file("config.yaml", json.dumps(tree).encode())}

    return change


def _ended(**changes):
    return lambda ended, files: ({**ended, **changes}, files)


def _outcome(**changes):
    return lambda ended, files: ({**ended, "outcome": {**ended["outcome"], **changes}}, files)


def _named(name):
    return lambda ended, files: (ended, {**files, **_file(name, b"x")})


def _fewer_epochs(ended, files):
    """Two of three epochs, in rows, outcome and manifest alike."""
    rows = files["metrics.csv"][1].splitlines(keepends=True)[:3]
    files = {**files, **_file("metrics.csv", b"".join(rows))}
    manifest = json.loads(files["manifest.json"][1])
    last = dict(zip(rows[0].decode().strip().split(","), map(float, rows[2].split(b",")), strict=True))
    outcome = {**ended["outcome"], **last, "epochs": 2}
    outcome.pop("epoch")
    manifest["outcome"] = outcome
    return {**ended, "outcome": outcome}, {**files, **_file("manifest.json", json.dumps(manifest).encode())}


FALSE = {
    "nothing": lambda ended, files: None,
    "no pair": lambda ended, files: ended,
    "a result that is text": lambda ended, files: ("done", files),
    "no files": lambda ended, files: (ended, None),
    "no status": lambda ended, files: ({k: v for k, v in ended.items() if k != "status"}, files),
    "an unknown status": _ended(status="finished"),
    "a status with control characters": _ended(status="done\x1b[31m<b>\u202e"),
    "a status that is a list": _ended(status=["done"]),
    "a reason that is no text": _ended(reason=7),
    "seconds that are text": _ended(seconds="1"),
    "seconds that are infinite": _ended(seconds=float("inf")),
    "negative seconds": _ended(seconds=-1.0),
    "no outcome": _ended(outcome=None),
    "an outcome without epochs": _ended(outcome={"val_acc": 0.999}),
    "a better outcome": _outcome(val_acc=0.999),
    "fewer epochs than asked": _fewer_epochs,
    "fewer epochs in the outcome": _outcome(epochs=2),
    "more epochs than asked": _outcome(epochs=4),
    "stopped, and done": _ended(status="stopped"),
    "diverged, and done": _ended(status="diverged"),
    "a run that is running": _manifest(status="running"),
    "a run of another dataset": _manifest(data={"sha256": {"x": "0"}}),
    "a run without a dataset": _manifest(data={}),
    "a run with another config": _config(epochs=9),
    "other rows": lambda ended, files: (ended, {**files, **_file("metrics.csv", b"epoch\n1\n")}),
    "a wrong digest": lambda ended, files: (ended, {**files, "metrics.csv": ("0" * 64, b"epoch\n")}),
    "no manifest": lambda ended, files: (ended, {k: v for k, v in files.items() if k != "manifest.json"}),
    "a name with a drive": _named("C:\\x"),
    "a name with a backslash": _named("..\\x"),
    "a reserved name": _named("con"),
    "a name with a line break": _named("x\n"),
    "a name with a control character": _named("x\x1b[31m"),
    "a way out": _named("../x"),
    "an absolute name": _named("/tmp/x"),
    "a hidden name": _named(".x"),
    "a name in capitals": _named("METRICS.CSV"),
    "a name with a colon": _named("a:b"),
    "a name that is no text": lambda ended, files: (ended, {**files, 7: ("0", b"")}),
    "files without digests": lambda ended, files: (ended, {**files, "x": b""}),
    "files that are a list": lambda ended, files: (ended, [1]),
    "three values": lambda ended, files: (ended, files, {}),
    "seconds that are NaN": _ended(seconds=float("nan")),
    "a status that is bytes": _ended(status=b"done"),
    "an outcome that is a list": _ended(outcome=[1]),
    "an outcome with NaN": _outcome(val_acc=float("nan")),
    "an outcome with text": _outcome(val_acc="high"),
    "an outcome of a later best epoch": _outcome(best_epoch=9),
    "a manifest that is a list": lambda ended, files: (ended, {**files, **_file("manifest.json", b"[]")}),
    "a manifest that is no JSON": lambda ended, files: (ended, {**files, **_file("manifest.json", b"\xff{")}),
    "a config that is no YAML": lambda ended, files: (ended, {**files, **_file("config.yaml", b"{[")}),
    "a name that is a directory": _named("checkpoints/"),
    "files of a study": _named("study.yaml"),
    "rows of a study": _named("trials.csv"),
    "a long name": _named("x" * 300),
    "content that is text": lambda ended, files: (ended, {**files, "metrics.csv": ("0" * 64, "epoch")}),
    "bytes without end": _named("metrics.csv\x00"),
}


@pytest.mark.parametrize("what", list(FALSE))
def test_a_false_answer_is_refused_and_nothing_is_published(what, asked):
    answer = FALSE[what](copy.deepcopy(asked.ended), dict(asked.files))
    assert believed(asked, answer) is None
    assert asked.refused == [WORKER]
    assert list(asked.study.iterdir()) == []


def test_a_worker_with_a_shared_disk_sends_no_files_and_has_the_run(asked, trained):
    assert believed(asked, (asked.ended, None), shared=True) is None
    assert believed(asked, (asked.ended, asked.files), shared=True) is None
    asked.study = trained.parent
    assert believed(asked, (asked.ended, None), shared=True) == asked.ended
    better = {**asked.ended, "outcome": {**asked.ended["outcome"], "val_acc": 0.999}}
    assert believed(asked, (better, None), shared=True) is None


@pytest.mark.parametrize(
    "measured", [{}, {"seconds": 1.0}, {"seconds": "x", "bytes": 1}, {"seconds": -1, "bytes": 1}]
)
def test_a_worker_that_measures_nothing_is_refused(measured, asked):
    asked.task = _Task(WORKER, None, asked.task.config, None, 0)
    assert believed(asked, (measured, None)) is None
    assert believed(asked, ({"seconds": 1.0, "bytes": 5}, None)) == {"seconds": 1.0, "bytes": 5}
