"""`optilab diagnose`: why a network does not learn, and the remedies that help; also the end of a training."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_doc import Doc
from pydantic import Field

from optilab import runs
from optilab.annotations import Argument, Flag
from optilab.answer.diagnosis import Diagnosis
from optilab.config import presets
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.diagnose import (
    PROBE_BATCHES,
    Evidence,
    Setup,
    Severity,
    evidence_of,
    reason_unreadable,
)
from optilab.diagnose import diagnose as findings_of
from optilab.errors import DataError, RunError, UsageError, shown
from optilab.request.options import DataOptions, DetailOptions, FolderOptions, SetOptions, SilentOptions
from optilab.request.request import Place


class Diagnose(SetOptions, DataOptions, FolderOptions, DetailOptions, SilentOptions):
    """Name what keeps a network from learning, with the numbers that show it and what to change.

    For a run, diagnose reads its records. For a config, it first trains for sixty batches (a probe run) and writes
    nothing.
    """

    READS = "train"
    EXAMPLES = (
        "optilab diagnose sigmoid.yaml",
        "optilab diagnose 20261124-143512-sigmoid-1c2d9e05",
        "optilab diagnose latest --json --fail-on warning",
    )

    target: Annotated[
        str | Mapping[str, Any],
        Argument("RUN|CONFIG", complete="run_or_preset"),
        Doc("A run, a YAML file or a preset"),
    ] = Field(init=False)
    fail_on: Annotated[
        Literal["info", "warning", "critical"] | None,
        Flag("LEVEL"),
        Doc(
            "Exit with status 9 unless the network has learned, the watch is complete and no finding is at least "
            "LEVEL; of a config, which is not trained, only the findings count [with --quiet: warning]"
        ),
    ] = None

    def run(self, place: Place) -> "Diagnosis":
        """The diagnosis of a run, or of a probe run of a config."""
        level = "warning" if self.quiet and self.fail_on is None else self.fail_on
        subject, config = _subject(self, place)
        evidence = evidence_of(subject) if isinstance(subject, runs.Record) else _probe(subject)
        changes = {change.key: change.value for change in self.changes}
        target = "the config" if isinstance(self.target, Mapping) else self.target
        return Diagnosis(
            target, evidence, findings_of(evidence), config, changes, level and Severity[level.upper()]
        )


def _subject(request: Diagnose, place: Place) -> tuple[TrainConfig | runs.Record, str]:
    """The run or config of the request, and the value of `--config` in proposed commands."""
    target = request.target
    if isinstance(target, Mapping):
        return load(TrainConfig, target, request.changes), "CONFIG.yaml"
    if not isinstance(target, str):
        raise UsageError(f"target: expected a run, a config or a mapping of its keys, got {shown(target)}")
    try:  # a run may have the name of a preset, which NAME.yaml still means
        path = runs.locate(place.folder, target, "train")
    except (RunError, UsageError) as missing:
        try:
            presets.find("train", target)
        except UsageError as error:
            near = next((refusal for refusal in (error, missing) if "; did you mean " in str(refusal)), None)
            raise near or UsageError(f"expected a run, a YAML file or a preset, got {shown(target)}") from None
    else:
        record = runs.read(path)
        if not record.is_training:
            raise UsageError(f"{path} is not a training run; `optilab runs ls --where command=train` lists those")
        if changes := request.changes:
            raise UsageError(f"expected a config, got the run {path}", changes[0].where)
        if reason := reason_unreadable(record):
            raise DataError(reason)
        return record, str(path / "config.yaml")

    return load(TrainConfig, target, request.changes), target


def _probe(config: TrainConfig) -> Evidence:
    """The evidence of a probe run."""
    from optilab.data import fetch

    dataset = fetch.load_or_fetch(*config.data.source)
    from optilab.train import session
    from optilab.train.device import exclusive_torch

    with exclusive_torch():
        try:
            rows, records, divergence = session.probe_run(config, dataset, PROBE_BATCHES)
            network = records[0].get("network", {})
            return Evidence(Setup.of(config, network), rows, records, divergence, probe_run=True)
        except UsageError:
            # What the engine refuses, such as batch norm over one image, may be what a rule names.
            evidence = Evidence(Setup.of(config), [], [], probe_run=True)
            if not findings_of(evidence):
                raise
            return evidence


COMMAND = Diagnose
