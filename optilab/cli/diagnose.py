"""`optilab diagnose`: why a network does not learn, and the command that changes it."""

from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.options import DataDir, Json, RunsDir, Silent, complete_run_or_preset, only_one

if TYPE_CHECKING:
    from optilab.diagnose import Evidence

EXAMPLES = """\b
Examples:
  optilab diagnose sigmoid.yaml
  optilab diagnose 20261124-143512-sigmoid-1c2d9e05
  optilab diagnose sigmoid.yaml --json --fail-on critical
"""

LEVELS = ("info", "warning", "critical")


def diagnose(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CONFIG",
            help="A run, a YAML file or a preset.",
            autocompletion=complete_run_or_preset,
        ),
    ],
    fail_on: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="Exit with 9 if a finding is at least this severe.")
    ] = None,
    data_dir: DataDir = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Silent = False,
) -> int:
    """Name what keeps a network from learning, with the numbers that show it and what to change.

    Of a run, its records are read; a config is first tried for sixty batches, which write nothing.
    """
    from optilab import diagnose as rules
    from optilab.console import diagnose as views
    from optilab.errors import ExitCode, chosen_names
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    levels = chosen_names("--fail-on", fail_on, "level", LEVELS) if fail_on is not None else []
    evidence, config = _evidence(target, runs_dir, data_dir)
    findings = rules.diagnose(evidence)
    if json_:
        terminal.document(views.document(target, evidence, findings, config))
    elif not quiet:
        views.show(target, evidence, findings, config)
    bad = any(finding.severity >= LEVELS.index(level) for finding in findings for level in levels)
    return ExitCode.EXPECTATION if bad else ExitCode.OK


def _evidence(target: str, runs_dir: str | None, data_dir: str | None) -> "tuple[Evidence, str]":
    """The evidence of a run or of a trial of a config, and the argument that `--config` takes for it."""
    from optilab import diagnose as rules
    from optilab import runs
    from optilab.config import presets
    from optilab.config.load import Override, load
    from optilab.config.training import TrainConfig
    from optilab.errors import RunError, UsageError

    folder = runs.root(runs_dir)
    try:  # a run may have the name of a preset, which NAME.yaml still means
        path = runs.locate(folder, target, "train")
    except (RunError, UsageError):
        try:
            presets.find("train", target)
        except UsageError:
            raise UsageError(f"{target!r} is not a run in {folder}, a file or a preset") from None
    else:
        record = runs.read(path)
        if record.manifest.get("command") != "train":
            raise UsageError(f"{path} is not a training run; diagnose reads training runs only")
        return rules.of_run(record), str(path / "config.yaml")

    from optilab.lab.execution import dataset_of

    config = load(TrainConfig, target, [Override("--data-dir", "data.dir", data_dir)] if data_dir else [])
    dataset = dataset_of(config.data)
    from optilab.train import session

    try:
        rows, records, divergence = session.look_into(config, dataset, rules.TRIAL_BATCHES)
        return rules.Evidence(config, rows, records, divergence, trial=True), target
    except UsageError:
        # What the engine refuses, such as batch norm over one image, may be what a rule names.
        evidence = rules.Evidence(config, [], [], trial=True)
        if not rules.diagnose(evidence):
            raise
        return evidence, target
