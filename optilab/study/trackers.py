"""Runs handed on to TensorBoard and MLflow, written by their own packages."""

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from time import time as clock
from typing import Any

from optilab.config.yaml import flow
from optilab.errors import UsageError, printable
from optilab.runs import Row
from optilab.study.export import Exported, require

_PARAMS, _METRICS = 100, 1000
"""What one request of MLflow may hold."""
_PARAM_LENGTH = 6000


def require_tracker(package: str, folder: Path) -> None:
    """UsageError without the package, or if the folder holds something."""
    require(package, f"--{package} DIR", package)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder; choose another", f"--{package}")


def tensorboard(folder: Path, exported: Sequence[Exported]) -> None:
    """Event files, one folder per run: every metric as a scalar, the settings as hyper-parameters (HPARAMS)."""
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for one in exported:
        writer = EventFileWriter(str(folder / _safe(one.name)))
        rows, times = one.rows(), _times(one)
        writer.add_event(_settings(one.name, one.settings, times[0]))
        for row, time in zip(rows, times[1:], strict=True):
            writer.add_event(_scalars(row, time))
        writer.close()


class LiveEvents:
    """An event file in the folder of a training in progress: its settings, then the metrics of every epoch.

    Written by the thread of the training, so that each epoch is in the file at once and an error is raised here.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], first: int) -> None:
        """A new file, also for a training that is resumed: `first` is the epoch that comes next."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        now = clock()
        self._path = folder / f"events.out.tfevents.{now:.6f}.{os.getpid()}.optilab"
        events = [Event(wall_time=now, file_version="brain.Event:2"), _settings(folder.name, settings, now)]
        if first > 1:  # epochs that an older file has from here on are those of the stopped process
            log = SessionLog(status=SessionLog.START)
            events.insert(1, Event(wall_time=now, step=first, session_log=log))
        self._append(*events)

    def add(self, row: Row, seconds: float) -> None:
        """The metrics of an epoch, and the seconds that it took."""
        self._append(_scalars({**row, "seconds": seconds}, clock()))

    def _append(self, *events: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._path.open("ab") as file:
            for event in events:
                RecordWriter(file).write(event.SerializeToString())


def _settings(name: str, settings: Mapping[str, Any], time: float) -> Any:
    """The event of a run's start, with its settings as hyper-parameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    data = HParamsPluginData()
    data.session_start_info.group_name = printable(name)
    data.session_start_info.start_time_secs = time
    for key, value in settings.items():
        parameter = data.session_start_info.hparams[printable(key)]
        if isinstance(value, bool):
            parameter.bool_value = value
        elif isinstance(value, int | float):
            parameter.number_value = value
        else:
            parameter.string_value = printable(flow(value))
    start = Summary.Value(
        tag=metadata.SESSION_START_INFO_TAG,
        metadata=metadata.create_summary_metadata(data),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(wall_time=time, summary=Summary(value=[start]))


def _scalars(row: Row, time: float) -> Any:
    """The event of an epoch: every metric as a scalar."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=printable(key), simple_value=value) for key, value in _metrics(row)]
    return Event(wall_time=time, step=row["epoch"], summary=Summary(value=values))


def mlflow(folder: Path, exported: Sequence[Exported]) -> None:
    """A tracking store, FOLDER/mlflow.db: one run each, with its settings as parameters and its metrics by epoch."""
    import logging

    folder.mkdir(parents=True, exist_ok=True)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    for name in ("alembic", "mlflow"):  # they report each step of making the database
        logging.getLogger(name).setLevel(logging.ERROR)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    experiment = client.create_experiment("optilab", artifact_location=(folder.absolute() / "artifacts").as_uri())
    for one in exported:
        rows, times = one.rows(), [round(1000 * time) for time in _times(one)]
        run = client.create_run(experiment, start_time=times[0], run_name=printable(one.name)).info.run_id
        texts = {_safe(key): printable(flow(value))[:_PARAM_LENGTH] for key, value in one.settings.items()}
        params = [Param(key, text) for key, text in texts.items()]
        metrics = [
            Metric(_safe(key), value, time, row["epoch"])
            for row, time in zip(rows, times[1:], strict=True)
            for key, value in _metrics(row)
        ]
        for start in range(0, len(params), _PARAMS):
            client.log_batch(run, params=params[start : start + _PARAMS])
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(run, metrics=metrics[start : start + _METRICS])
        status = "FINISHED" if one.record.state == "done" else "FAILED"
        client.set_terminated(run, status, times[-1])


def _metrics(row: Row) -> list[tuple[str, float]]:
    return [(key, float(value)) for key, value in row.items() if key != "epoch"]


def _times(one: Exported) -> list[float]:
    """Seconds since 1970 of the start and of the end of each epoch, as if the run had never stopped."""
    try:
        start = datetime.fromisoformat(str(one.record.manifest.get("created"))).timestamp()
    except ValueError:
        start = 0.0
    return list(accumulate((float(row.get("seconds", 0.0)) for row in one.rows()), initial=start))


def _safe(name: str) -> str:
    """A name as both accept it, as a path too: letters, digits and `_ - . /`, and no way out of the folder."""
    parts = [re.sub(r"[^A-Za-z0-9_.-]", "_", part) for part in name.split("/")]
    return "/".join(re.sub(r"^\.+", "_", part) or "_" for part in parts)
