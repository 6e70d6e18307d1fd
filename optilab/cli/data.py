"""`optilab data`: which datasets there are, where they are, whether they are intact, how to get them."""

from pathlib import Path
from typing import Annotated

import typer

from optilab.cli.options import DataDir, Json, Silent, examples, only_one
from optilab.data.sources import DATASETS
from optilab.errors import DataError

app = typer.Typer(
    help="The datasets: list, fetch, verify.",
    no_args_is_help=True,
    epilog=examples("optilab data ls", "optilab data fetch mnist", "optilab data verify fashion-mnist"),
)

_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a dataset.",
        autocompletion=lambda incomplete: [name for name in DATASETS if name.startswith(incomplete)],
    ),
]
_Folder = Annotated[bool, typer.Option("--quiet", "-q", help="Print the folder and nothing else.")]
_Names = Annotated[bool, typer.Option("--quiet", "-q", help="Print the names of the datasets that are here.")]
_DEFAULT = "fashion-mnist"


@app.command(
    "ls",
    help="List the datasets: sizes, and whether their files are here and intact.",
    epilog=examples("optilab data ls", "optilab data ls --json"),
)
def ls(data_dir: DataDir = None, json_: Json = False, quiet: _Names = False) -> None:
    from optilab.console import data as views
    from optilab.data import load as data
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    rows = [data.presence(name, _path(data_dir)) for name in DATASETS]
    if json_:
        terminal.document(views.list_document(rows))
    elif quiet:
        for row in rows:
            if row.here:
                terminal.say(row.info.name)
    else:
        views.datasets(rows)


@app.command(
    "where",
    help="Show where a dataset is searched for, and where it was found.",
    epilog=examples("optilab data where", "optilab data where mnist"),
)
def where(name: _Name = _DEFAULT, data_dir: DataDir = None, json_: Json = False, quiet: _Folder = False) -> None:
    from optilab.console import data as views
    from optilab.data import load as data
    from optilab.data import sources
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    info, chosen = data.info_of(name), _path(data_dir)
    places, found = sources.search_path(info, chosen), sources.find(info, chosen)
    if json_:
        terminal.document(views.search_document(places, found))
    elif not quiet:
        views.search_path(info, places, found)
    elif found is not None:
        terminal.say(str(found))


@app.command(
    "verify",
    help="Check the files of a dataset against their SHA-256.",
    epilog=examples("optilab data verify", "optilab data verify synthetic"),
)
def verify(name: _Name = _DEFAULT, data_dir: DataDir = None, json_: Json = False, quiet: Silent = False) -> None:
    from optilab.console import data as views
    from optilab.data import load as data
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    rows = data.verify(name, _path(data_dir))
    if not (json_ or quiet):
        views.checks(rows)
    if not all(row.ok for row in rows):
        error = DataError("\n".join(row.problem for row in rows if not row.ok))
        error.facts = views.checks_document(rows)
        raise error
    if json_:
        terminal.document(views.checks_document(rows))


@app.command(
    "fetch",
    help="Fetch a dataset from its mirrors; FashionMNIST also from Debian's package.",
    epilog=examples("optilab data fetch", "optilab data fetch mnist --data-dir data"),
)
def fetch(name: _Name = _DEFAULT, data_dir: DataDir = None, json_: Json = False, quiet: _Folder = False) -> None:
    from optilab.console import data as views
    from optilab.data import fetch
    from optilab.show import terminal

    only_one(json=json_, quiet=quiet)
    with views.Transfer() as transfer:
        folder = fetch.fetch(name, transfer.report, _path(data_dir))
    if json_:
        terminal.document({"folder": None if folder is None else str(folder)})
    elif folder is not None:
        terminal.say(str(folder))
    elif not quiet:
        terminal.say(f"{name} has no files; nothing is fetched")


def _path(data_dir: str | None) -> Path | None:
    return Path(data_dir) if data_dir else None
