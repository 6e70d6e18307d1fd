"""`optilab data`: where the dataset is, whether it is intact, and how to get it; the dataset of a config."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.options import DataDir, Json, Silent, examples, only_one
from optilab.errors import DataError

if TYPE_CHECKING:
    from optilab.config.schema.train import DataConfig
    from optilab.train.data import Dataset

app = typer.Typer(
    help="The FashionMNIST files: fetch, verify, where.",
    no_args_is_help=True,
    epilog=examples("optilab data where", "optilab data fetch", "optilab data verify"),
)

_Folder = Annotated[bool, typer.Option("--quiet", "-q", help="Print the folder and nothing else.")]


@app.command(
    "where",
    help="Show where the dataset is searched for, and where it was found.",
    epilog=examples("optilab data where"),
)
def where(data_dir: DataDir = None, json_: Json = False, quiet: _Folder = False) -> None:
    from optilab import console
    from optilab.console import data as views
    from optilab.train import data

    only_one(json=json_, quiet=quiet)
    chosen = Path(data_dir) if data_dir else None
    places, found = data.search_path(chosen), data.find(chosen)
    if json_:
        console.document(views.search_document(places, found))
    elif not quiet:
        views.search_path(places, found)
    elif found is not None:
        console.say(str(found))


@app.command("verify", help="Check the four files against their SHA-256.", epilog=examples("optilab data verify"))
def verify(data_dir: DataDir = None, json_: Json = False, quiet: Silent = False) -> None:
    from optilab import console
    from optilab.console import data as views
    from optilab.train import data

    only_one(json=json_, quiet=quiet)
    rows = data.verify("fashion-mnist", Path(data_dir) if data_dir else None)
    if not (json_ or quiet):
        views.checks(rows)
    if not all(row.ok for row in rows):
        error = DataError("\n".join(row.problem for row in rows if not row.ok))
        error.facts = views.checks_document(rows)
        raise error
    if json_:
        console.document(views.checks_document(rows))


@app.command(
    "fetch",
    help="Fetch the dataset: torchvision's mirrors, then Debian's package.",
    epilog=examples("optilab data fetch", "optilab data fetch --data-dir data"),
)
def fetch(data_dir: DataDir = None, json_: Json = False, quiet: _Folder = False) -> None:
    from optilab import console
    from optilab.console import data as views
    from optilab.train import fetch

    only_one(json=json_, quiet=quiet)
    with views.Transfer() as transfer:
        folder = fetch.fetch(transfer.report, Path(data_dir) if data_dir else None)
    if json_:
        console.document({"folder": str(folder)})
    else:
        console.say(str(folder))


def dataset_of(config: "DataConfig") -> "Dataset":
    """The verified dataset of a config; fetched first, with a progress bar, if this machine lacks it."""
    from optilab.console.data import Transfer
    from optilab.train import fetch

    with Transfer() as transfer:
        return fetch.ensure(config.dataset, Path(config.dir) if config.dir else None, transfer.report)
