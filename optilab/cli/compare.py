"""`optilab runs compare`: groups of runs side by side, with verdicts."""

from typing import Annotated

import typer

from optilab.cli.options import Format, Json, RunNames, RunsDir, chosen_format, examples, only_one

HELP = "Compare trainings: what differs, the outcome of each group over its seeds, and verdicts."
EXAMPLES = examples(
    "optilab runs compare 'relu-*' 'tanh-*'",
    "optilab runs compare remedies --metric val_loss --at best --baseline sigmoid",
    "optilab runs compare lr-sweep --target 0.8 --format latex",
)


Metric = Annotated[
    str, typer.Option(metavar="NAME", help="A column of metrics.csv, seconds, test_acc or test_loss.")
]
At = Annotated[str, typer.Option(metavar="EPOCH", help="last, best, an epoch, or area: the mean over the epochs.")]
Target = Annotated[float | None, typer.Option(metavar="X", help="Compare by when the metric first reaches X.")]
Until = Annotated[str, typer.Option(metavar="UNIT", help="With --target: epochs or seconds.")]
Baseline = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Compare with this group: its label, config or run [the best group]."),
]
By = Annotated[
    str | None,
    typer.Option(metavar="KEY,...", help="Rows differ in these keys; average over the other settings."),
]
Over = Annotated[
    str, typer.Option(metavar="WHAT", help="With --by: verdicts for other seeds, or for other problems.")
]


def compare(
    names: RunNames,
    metric: Metric = "val_acc",
    at: At = "last",
    target: Target = None,
    until: Until = "epochs",
    baseline: Baseline = None,
    by: By = None,
    over: Over = "seeds",
    format_: Format = "table",
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print the groups that can be the best and nothing else.")
    ] = False,
) -> None:
    from optilab import runs
    from optilab.console import compare as views
    from optilab.study.groups import select
    from optilab.verbs import compare as comparison

    only_one(json=json_, quiet=quiet)
    format_ = chosen_format(format_, json_)
    records = select(runs.root(runs_dir), names)
    side = comparison.compare(records, metric, at, target, until, baseline, keys(by), over)
    if quiet:
        for label in side.possible_best:
            typer.echo(label)
    else:
        views.show(side, format_)


def keys(by: str | None) -> list[str]:
    """The keys of `--by`."""
    return by.split(",") if by else []
