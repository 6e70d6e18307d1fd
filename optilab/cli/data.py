"""`optilab data`: where the dataset is, whether it is whole, and how to get it."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The FashionMNIST files: fetch, verify, where.", no_args_is_help=True)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the dataset [OPTILAB_DATA].")
]


@app.command("where")
def where(data_dir: DataDir = None) -> None:
    """Show where the dataset is searched, in order, and where it is found."""
    from optilab.console import listings
    from optilab.train import data

    listings.search_path(data.search_path(data_dir), data.find(data_dir))


@app.command("verify")
def verify(data_dir: DataDir = None) -> None:
    """Check the four files against their SHA-256."""
    from optilab.console import listings
    from optilab.errors import DataError
    from optilab.train import data

    rows = data.verify("fashion-mnist", data_dir)
    listings.checks(rows)
    if not all(row.ok for row in rows):
        raise DataError("\n".join(row.problem for row in rows if not row.ok))


@app.command("fetch")
def fetch(data_dir: DataDir = None) -> None:
    """Fetch the dataset now: torchvision's mirrors, then Debian's package."""
    from optilab.console import listings
    from optilab.train import fetch

    with listings.Transfer() as transfer:
        folder = fetch.fetch(transfer.report, data_dir)
    typer.echo(folder)
