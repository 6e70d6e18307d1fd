"""Every dataset by name: its files and their checksums, where it is fetched from, its classes and sizes.

A dataset in the format of MNIST is added by its entry in `DATASETS`; everything else reads it from there. This module
imports neither NumPy nor PyTorch, because configs are checked against it.

Checksums of MNIST and KMNIST: published by several projects that agree, and
by torchvision as MD5 of the same files; FashionMNIST's were computed from Debian's package.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

from optilab.errors import DataError, SystemFailure

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""Images and labels of the training set, then of the test set."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The four arrays of images and labels, named as Keras names them."""
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset before it is read.

    `form` is the source of its arrays: four IDX files, one .npz file, scikit-learn, or a generator of random numbers.
    The sizes of the user's files (`is_custom`) are assumed until they are read.
    """

    name: str
    title: str
    form: Literal["idx", "npz", "scikit-learn", "drawn"]
    source: str
    digests: Mapping[str, str] = field(default_factory=dict)
    """Name of a file, or of an array -> its SHA-256. A file NAME may be there as NAME.gz, too: the checksum is that of
    its content. The checksum of a name that ends in .gz is that of the compressed file."""
    torchvision: str = ""
    """The class of torchvision.datasets that has its mirrors, directories on the web with all files as NAME.gz."""
    package: str = ""
    """Debian's package of the dataset."""
    package_directory: Path | None = None
    """The directory that Debian's package installs."""
    shape: tuple[int, ...] = (28, 28)
    classes: tuple[str, ...] = DIGITS
    train: int = 60_000
    test: int = 10_000

    @property
    def is_custom(self) -> bool:
        """True if the files are the user's: no checksum is built in."""
        return not self.digests

    @property
    def inputs(self) -> int:
        """Numbers per image."""
        return prod(self.shape)


def _digests(names: Iterable[str], *digests: str) -> dict[str, str]:
    return dict(zip(names, digests, strict=True))


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="fashion-mnist",
            title="FashionMNIST",
            form="idx",
            source="Xiao, Rasul and Vollgraf 2017",
            digests=_digests(
                IDX_FILES,
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            torchvision="FashionMNIST",
            package="dataset-fashion-mnist",
            package_directory=Path("/usr/share/datasets/fashion-mnist"),
            classes=(
                *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
                *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
            ),
        ),
        DatasetInfo(
            name="mnist",
            title="MNIST",
            form="idx",
            source="LeCun, Cortes and Burges 1998",
            digests=_digests(
                IDX_FILES,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            torchvision="MNIST",
        ),
        DatasetInfo(
            name="kmnist",
            title="Kuzushiji-MNIST",
            form="idx",
            source="Clanuwat et al. 2018, arXiv:1812.01718",
            digests=_digests(
                (f"{name}.gz" for name in IDX_FILES),  # the published checksums are those of the compressed files
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            ),
            torchvision="KMNIST",
            classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        ),
        DatasetInfo(
            name="digits",
            title="digits of scikit-learn",
            form="scikit-learn",
            source="Alpaydin and Kaynak 1998",
            digests=_digests(
                ARRAYS,
                "1a5fd3b5c524e826767083c882fe4f8c91850d3568a78caadaa66eb3fe78f5b6",
                "00d355536cfe54c3c5aaa1bbc756008bcc5ba7030407f225954ebda1d1ca46c9",
                "a422c8110b35908d8bc868469498d8bc67c5d5f4357631b3ded0ee283ca6a1e9",
                "7a7a9acee298b8862700d7c2a0341a0ee3744e1369c9107a26149f5d0e61b304",
            ),
            shape=(8, 8),
            train=1_437,
            test=360,
        ),
        DatasetInfo(
            name="synthetic",
            title="synthetic",
            form="drawn",
            source="optilab, drawn from a seed",
            digests=_digests(
                ARRAYS,
                "2bd19a4750104e10e5ada83568da384ed393a84bc87994caa95cfbded2254093",
                "526a0d9d7f22c46eb20ac528ab8175555ac5bfa443c61cb0ffc1bd4515896a87",
                "b5e068dc2df45c29b2fba6a17fbf0bd15dafdb22d5404e4782573b9ef27e2c36",
                "e2854e7b2ee3134b0bbdd4f9a9ef0ad90f737794e04e27d55f7247df2fa8f8e5",
            ),
            shape=(16, 16),
            train=10_000,
            test=2_000,
        ),
        DatasetInfo(
            name="idx",
            title="own IDX files",
            form="idx",
            source="four files and SHA256SUMS in data.dir",
        ),
        DatasetInfo("npz", "own .npz file", "npz", "the file that data.dir names"),
    )
}


def search_path(info: DatasetInfo, directory: Path | None = None) -> list[Path]:
    """The directories that are searched for a dataset, in order; for `npz`, the file or its directory.

    A directory that the user names, by argument or in OPTILAB_DATA, is the only one: no other replaces it silently.
    Otherwise the user's cache, then the directory of Debian's package. The user's files have to be named.
    """
    if info.form in ("scikit-learn", "drawn"):
        return []
    if directory is not None:
        # A config is UTF-8; the system's names are bytes that another locale (LC_ALL=C) decodes otherwise.
        return [Path(os.fsdecode(str(directory).encode("utf-8", "surrogateescape"))).expanduser()]
    if named := os.environ.get("OPTILAB_DATA"):
        return [Path(named).expanduser()]
    if info.is_custom:
        raise DataError(f"dataset {info.name}: expected its place (--data-dir or OPTILAB_DATA), got none")
    import platformdirs

    return [platformdirs.user_cache_path("optilab") / info.name, *filter(None, [info.package_directory])]


def find(info: DatasetInfo, directory: Path | None = None) -> Path | None:
    """The first directory of the search path that holds all files of a dataset, each as NAME or NAME.gz.

    The files may also be in a directory of the dataset's name, or where torchvision puts them. SystemFailure for a
    directory that cannot be read.
    """
    for place in search_path(info, directory):
        if place.is_dir() and not os.access(place, os.R_OK | os.X_OK):
            raise SystemFailure(f"cannot read {place}: Permission denied")
        for layout in (place / info.name, place, place / (info.torchvision or info.name) / "raw"):
            if not missing(info, layout):
                return layout
    return None


def destination(info: DatasetInfo, directory: Path | None = None) -> Path:
    """The directory that a fetch fills: the dataset's in the argument, in OPTILAB_DATA, or in the user's cache."""
    place = search_path(info, directory)[0]
    return place if place.name == info.name else place / info.name


def file_of(place: Path, name: str) -> Path:
    """The raw file if it exists, else its .gz, which may be missing, too."""
    return place / name if name.endswith(".gz") or os.path.isfile(place / name) else place / f"{name}.gz"


def missing(info: DatasetInfo, place: Path) -> list[str]:
    """The files that a directory lacks."""
    return [name for name in info.digests or IDX_FILES if not os.path.isfile(file_of(place, name))]


def missing_message(info: DatasetInfo, directory: Path | None) -> str:
    """The message that a dataset is missing: the places that were searched, and the files that each lacks."""
    places = [
        f"{place} lacks {', '.join(missing(info, place))}" if place.is_dir() else f"there is no directory {place}"
        for place in search_path(info, directory)
    ]
    return f"dataset {info.name} (four files, each as NAME or NAME.gz) was not found: {'; '.join(places)}"
