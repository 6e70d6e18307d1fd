"""Where a dataset is searched for, where it was found, and where a fetch puts it."""

import os
import shlex
from pathlib import Path

from optilab.data.sources import IDX_FILES, DatasetInfo


def search_path(info: DatasetInfo, folder: Path | None = None) -> list[tuple[str, Path]]:
    """The folders that are searched for a dataset, in order, as (label, folder).

    A folder that the user names, by argument or in OPTILAB_DATA, is the only one: no other replaces it silently.
    Otherwise the user's cache, then the folder of Debian's package. The user's own images have to be named.
    """
    if info.form in ("scikit-learn", "drawn"):
        return []
    if folder is not None:
        # A config is UTF-8; the system's names are bytes that another locale (LC_ALL=C) decodes otherwise.
        named_bytes = str(folder).encode("utf-8", "surrogateescape")
        return [("--data-dir", Path(os.fsdecode(named_bytes)).expanduser())]
    if named := os.environ.get("OPTILAB_DATA"):
        return [("OPTILAB_DATA", Path(named).expanduser())]
    if not info.torchvision:
        return []
    import platformdirs

    cache = platformdirs.user_cache_path("optilab") / info.name
    package = [("Debian package", info.package_folder)] if info.package_folder else []
    return [("user cache", cache), *package]


def is_named(folder: Path | None) -> bool:
    """Whether the user says where the files are."""
    return folder is not None or bool(os.environ.get("OPTILAB_DATA"))


def find(info: DatasetInfo, folder: Path | None = None) -> Path | None:
    """The first folder of the search path that holds all files, each as NAME or NAME.gz, or the .npz file; else None.

    In a folder that the user names, each of the dataset's `layouts` is accepted, torchvision's among them. The pickles
    of torchvision's legacy layout, processed/*.pt, are ignored.
    """
    for _, place in search_path(info, folder):
        if info.form == "npz":
            found = npz_files(place)
            return found[0] if len(found) == 1 else None
        for layout in info.layouts if is_named(folder) else (".",):
            if not missing(info, place / layout):
                return place / layout
    return None


def npz_files(place: Path) -> list[Path]:
    """The .npz files that a path names: itself, or those of the folder."""
    if place.is_dir():
        return sorted(place.glob("*.npz"))
    return [place] if place.is_file() else []


def destination(info: DatasetInfo, folder: Path | None = None) -> Path:
    """The folder that a fetch fills: the argument, OPTILAB_DATA or the user's cache."""
    place = search_path(info, folder)[0][1]
    return place / info.layouts[0] if is_named(folder) else place


def file_of(place: Path, name: str) -> Path:
    """The raw file if it exists, else its .gz, which may be missing, too."""
    return place / name if name.endswith(".gz") or os.path.isfile(place / name) else place / f"{name}.gz"


def missing(info: DatasetInfo, place: Path) -> list[str]:
    """The files that a folder lacks."""
    return [name for name in info.digests or IDX_FILES if not os.path.isfile(file_of(place, name))]


def fetching(info: DatasetInfo, folder: Path | None) -> str:
    """The command that fetches a dataset into a folder."""
    name = "" if info.name == "fashion-mnist" else f" {info.name}"
    return f"optilab data fetch{name}" + ("" if folder is None else f" --data-dir {shlex.quote(str(folder))}")


def not_found(info: DatasetInfo, folder: Path | None) -> str:
    """Where a dataset was searched for, and what each place lacks."""
    lines = [f"dataset {info.name} was not found; it is four files, each NAME or NAME.gz; searched:"]
    for label, place in search_path(info, folder):
        state = "" if os.path.isdir(place) else "is not a folder, "
        if npz_files(place) == [place]:
            state = "is a file (own images in an .npz file: --set data.dataset=npz), "
        lines.append(f"  {label}: {place}: {state}lacks {', '.join(missing(info, place))}")
    return "\n".join(lines)
