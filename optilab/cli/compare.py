"""Options of `report` that say what is compared."""

from typing import Annotated

import typer

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
