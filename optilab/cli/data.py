"""`optilab data`: where the dataset is, whether it is whole, and how to get it."""

from pathlib import Path
from typing import Annotated

import typer

from optilab.cli.options import examples

app = typer.Typer(
    help="The FashionMNIST files: fetch, verify, where.",
    no_args_is_help=True,
    epilog=examples("optilab data where", "optilab data fetch", "optilab data verify"),
)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the dataset [OPTILAB_DATA].")
]


@app.command("where", epilog=examples("optilab data where"))
def where(data_dir: DataDir = None) -> None:
    """Show where the dataset is searched, and where it is found."""
    from optilab.console import data as views
    from optilab.train import data

    views.search_path(data.search_path(data_dir), data.find(data_dir))


@app.command("verify", epilog=examples("optilab data verify"))
def verify(data_dir: DataDir = None) -> None:
    """Check the four files against their SHA-256."""
    from optilab.console import data as views
    from optilab.errors import DataError
    from optilab.train import data

    rows = data.verify("fashion-mnist", data_dir)
    views.checks(rows)
    if not all(row.ok for row in rows):
        raise DataError("\n".join(row.problem for row in rows if not row.ok))


@app.command("fetch", epilog=examples("optilab data fetch", "optilab data fetch --data-dir data"))
def fetch(data_dir: DataDir = None) -> None:
    """Fetch the dataset: torchvision's mirrors, then Debian's package."""
    from optilab.console import data as views
    from optilab.train import fetch

    with views.Transfer() as transfer:
        folder = fetch.fetch(transfer.report, data_dir)
    typer.echo(folder)
