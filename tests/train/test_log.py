"""`train --log tensorboard`: TensorBoard's own reader finds every epoch, and a failing file fails no run."""

import errno
import subprocess
import sys

import pytest

from optilab import runs
from optilab.runs.metrics import EPOCH_METRICS
from optilab.study import export

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytestmark = pytest.mark.filterwarnings("default")


def scalars(folder):
    """The tags of a run's event files, and each as [(step, value)]."""
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(s.step, s.value) for s in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def expected(folder):
    rows, timings = runs.read(folder).rows(), runs.read_timings(folder / "timings.csv")
    columns = {tag: [(row["epoch"], row[tag]) for row in rows] for tag in EPOCH_METRICS}
    return {**columns, "seconds": [(row["epoch"], row["seconds"]) for row in timings]}


def same(logged, wanted):
    assert logged.keys() == wanted.keys()
    for tag, values in wanted.items():
        assert [step for step, _ in logged[tag]] == [step for step, _ in values]
        assert [value for _, value in logged[tag]] == pytest.approx([value for _, value in values], abs=1e-3)


def test_every_epoch_is_read_back_with_the_settings(optilab, small, tmp_path):
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    plain = optilab("train", small, "--name", "plain").stdout
    logged = optilab("train", small, "--log", "tensorboard", "--name", "logged")
    assert logged.stderr == ""
    assert logged.stdout.count("val_acc") == plain.count("val_acc")
    folder = tmp_path / "runs" / "logged"
    assert (folder / "metrics.csv").read_bytes() == (folder.parent / "plain" / "metrics.csv").read_bytes()
    same(scalars(folder), expected(folder))
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    assert (hparams["optimizer.name"].string_value, hparams["optimizer.lr"].number_value) == ("sgd", 0.1)


def test_resumed_and_forked_runs_are_one_curve(optilab, small, tmp_path):
    log = ("--log", "tensorboard", "--quiet")
    optilab("train", small, "--name", "a", *log)
    optilab("train", "--resume", "a", "--epochs", 5, *log)
    optilab("train", "--fork", "a@4", "--set", "optimizer.lr=0.05", "--name", "b", *log)
    folder = tmp_path / "runs" / "a"
    same(scalars(folder), expected(folder))
    assert len(list(folder.glob("events.out.tfevents.*"))) == 4  # settings and scalars of each process
    assert [step for step, _ in scalars(folder.parent / "b")["val_acc"]] == [5]
    optilab("runs", "rm", "a", "--yes")
    assert not folder.exists()


@pytest.mark.parametrize("first", [0, 1], ids=["at the start", "after an epoch"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("I/O operation on closed file")]
)
def test_a_file_that_cannot_be_written_is_said_once_and_the_run_goes_on(
    optilab, small, tmp_path, monkeypatch, error, first
):
    add, calls = export.EventLog.add, []

    def failing(self, *row):
        calls.append(row)
        if len(calls) > first:
            raise error
        add(self, *row)

    monkeypatch.setattr(export.EventLog, "add" if first else "__init__", failing)
    done = optilab("train", small, "--log", "tensorboard", "--name", "a")
    reason = getattr(error, "strerror", None) or error
    assert done.stderr == (
        f"optilab: the event file of TensorBoard cannot be written ({reason}); the training goes on without it\n"
    )
    assert len(calls) == first + 1
    record = runs.read(tmp_path / "runs" / "a")
    assert (record.state, len(record.rows())) == ("done", 3)
    if first:
        assert [step for step, _ in scalars(record.path)["val_acc"]] == [1]


def test_a_missing_package_is_named_without_torch(optilab, small, tmp_path, monkeypatch):
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'tensorboard' else find(name, *rest);"
        f"sys.argv = ['optilab', 'train', {str(small)!r}, '--log', 'tensorboard'];"
        "from optilab.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert "--log tensorboard needs tensorboard: pip install 'optilab[tensorboard]'" in done.stderr
    assert not (tmp_path / "runs").exists()
