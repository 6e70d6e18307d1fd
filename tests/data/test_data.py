"""The dataset on disk: what is accepted, what is refused, and that a fetch leaves whole files or none."""

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from optilab.data import fetch, formats, sources
from optilab.data import load as data
from optilab.data.sources import DATASETS, DatasetInfo
from optilab.errors import DataError, SystemFailure
from tests.data.idx import NAMES, arrays, idx_bytes, write_idx_dataset, write_sums

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def silent(label: str, done: int, total: int | None) -> None:
    pass


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTILAB_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    change(monkeypatch, package_folder=tmp_path / "debian")


def fashion() -> DatasetInfo:
    return DATASETS["fashion-mnist"]


def change(monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    """FashionMNIST's entry with other facts."""
    monkeypatch.setitem(DATASETS, "fashion-mnist", replace(fashion(), **facts))  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_idx_dataset(tmp_path / "small")


@pytest.fixture
def pinned(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small dataset, taken for FashionMNIST."""
    digests = {name: hashlib.sha256((small / name).read_bytes()).hexdigest() for name in NAMES}
    change(monkeypatch, digests=digests)
    return small


def compress(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), 1))
        (folder / name).unlink()


def assert_is_small(found: data.Dataset) -> None:
    for name, array in zip(
        NAMES, (found.train_images, found.train_labels, found.test_images, found.test_labels), strict=True
    ):
        np.testing.assert_array_equal(array, arrays()[name])
        assert array.dtype == np.uint8


# Reading


@pytest.mark.parametrize("zipped", [(), NAMES, (TRAIN_IMAGES, TEST_LABELS)], ids=["raw", "gz", "mixed"])
@pytest.mark.parametrize("layout", [".", "FashionMNIST/raw"])
def test_reads_what_was_written(small: Path, tmp_path: Path, zipped: tuple[str, ...], layout: str) -> None:
    compress(small, *zipped)
    shutil.copytree(small, tmp_path / "there" / layout)
    found = data.load("idx", tmp_path / "there")
    assert_is_small(found)
    assert (found.name, found.classes) == ("idx", 10)
    assert list(found.digests) == list(NAMES)
    rows = data.verify("idx", tmp_path / "there")
    assert [(row.name, row.size, row.digest, row.ok, row.problem) for row in rows] == [
        (name, len(idx_bytes(arrays()[name])), found.digests[name], True, "") for name in NAMES
    ]


def test_other_sizes_and_fewer_classes(tmp_path: Path) -> None:
    for split, count in (("train", 7), ("t10k", 3)):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(np.ones((count, 5, 4), np.uint8)))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count, dtype=np.uint8)))
    write_sums(tmp_path)
    found = data.load("idx", tmp_path)
    assert (found.train_images.shape, found.test_images.shape, found.classes) == ((7, 5, 4), (3, 5, 4), 7)


def test_binary_mode_and_foreign_lines_of_sha256sums(small: Path) -> None:
    sums = small / "SHA256SUMS"
    text = sums.read_text().replace("  ", " *").replace("\n", "\r\n")
    sums.write_bytes(f"{'0' * 64}  README\n\n{text}".encode())
    assert_is_small(data.load("idx", small))


def test_arrays_are_read_only(small: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        data.load("idx", small).train_images[0] = 0


# Refusing


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def swap(one: str, other: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
        (folder / one).write_bytes(second)
        (folder / other).write_bytes(first)

    return change


def piped(folder: Path) -> None:
    (folder / TEST_LABELS).unlink()
    os.mkfifo(folder / TEST_LABELS)


def huge(folder: Path) -> None:
    with (folder / TRAIN_IMAGES).open("wb") as file:
        file.truncate(formats.MAX_BYTES + 1)  # sparse


def bad_gz(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        compress(folder, TRAIN_IMAGES)
        edit(f"{TRAIN_IMAGES}.gz", change)(folder)

    return spoil


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]


def relabel(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return edit(name, lambda raw: idx_bytes(array.astype(np.uint8)))


HTML = b"<!DOCTYPE html><html><body>Please log in to this network</body></html>"

# What is done to the folder, the file that the message names, and what it says was expected and found.
# MUTATIONS: where the digests are made to agree, only the structure can tell.
MUTATIONS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "cut": (edit(TRAIN_IMAGES, lambda raw: raw[:-1]), TRAIN_IMAGES, "156816 bytes.*found 156815 bytes"),
    "empty": (edit(TEST_LABELS, lambda raw: b""), TEST_LABELS, "header of 8 bytes, found 0 bytes"),
    "swapped labels": (swap(TRAIN_LABELS, TEST_LABELS), TRAIN_LABELS, "200 labels, found 100 labels"),
    "labels as images": (swap(TRAIN_LABELS, TRAIN_IMAGES), TRAIN_IMAGES, "0x00000803, found .*0x00000801"),
    "huge shape": (edit(TEST_IMAGES, lambda raw: raw[:4] + b"\xff" * 12 + raw[16:]), TEST_IMAGES, "4294967295"),
    "other shape": (relabel(TEST_IMAGES, np.ones((100, 5, 4))), TEST_IMAGES, r"\(28, 28\).*\(5, 4\)"),
    "no images": (relabel(TEST_IMAGES, np.ones((0, 28, 28))), TEST_IMAGES, "at least one item"),
    "unknown label": (edit(TEST_LABELS, lambda raw: raw[:-1] + b"\x0a"), TEST_LABELS, r"0 to 9 .*found 10"),
}
DAMAGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "cut gz": (bad_gz(lambda raw: raw[:-100]), TRAIN_IMAGES, "whole gzip file, found: Compressed file ended"),
    "a flip": (edit(TEST_IMAGES, flip(4000)), TEST_IMAGES, "SHA-256 .*found SHA-256"),
    "absent": (lambda folder: (folder / TEST_LABELS).unlink(), TEST_LABELS, "lacks t10k-labels"),
    "a pipe": (piped, TEST_LABELS, "lacks t10k-labels"),
    "too large": (huge, TRAIN_IMAGES, "expected at most 200000000 bytes, found 200000001"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_wrong_structure_is_refused(small: Path, mutation: str) -> None:
    change, name, message = MUTATIONS[mutation]
    change(small)
    write_sums(small)  # the digests agree, so only the structure can tell
    with pytest.raises(DataError, match=f"{name}: expected .*{message}.*"):
        data.load("idx", small)


@pytest.mark.parametrize("dataset", ["fashion-mnist", "idx"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(pinned: Path, damage: str, dataset: str) -> None:
    change, name, message = DAMAGES[damage]
    change(pinned)
    with pytest.raises(DataError, match=message) as caught:
        data.load(dataset, pinned)
    assert str(pinned) in str(caught.value)
    assert name in str(caught.value)
    if "lacks" not in message:
        assert [row.name for row in data.verify(dataset, pinned) if not row.ok] == [name]


def test_missing_line_of_sha256sums(small: Path) -> None:
    line = 2
    sums = small / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(DataError, match=rf"SHA256SUMS: expected a line `SHA-256  {NAMES[line]}`"):
        data.load("idx", small)


# Finding


def test_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources.search_path(fashion()) == [
        ("user cache", tmp_path / "cache" / "optilab" / "fashion-mnist"),
        ("Debian package", tmp_path / "debian"),
    ]
    monkeypatch.setenv("OPTILAB_DATA", "~/fm")
    assert sources.search_path(fashion()) == [("OPTILAB_DATA", Path.home() / "fm")]
    assert sources.search_path(fashion(), tmp_path) == [("--data-dir", tmp_path)]
    monkeypatch.setenv("OPTILAB_DATA", "")
    assert len(sources.search_path(fashion())) == 2


@pytest.mark.parametrize("named", ["argument", "environment"])
def test_a_named_folder_is_never_replaced(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    pinned.rename(tmp_path / "debian")
    assert_is_small(data.load("fashion-mnist"))
    empty = tmp_path / "empty"
    empty.mkdir()
    if named == "environment":
        monkeypatch.setenv("OPTILAB_DATA", str(empty))
    folder = empty if named == "argument" else None
    for act in (data.load, data.verify, lambda name, place: fetch.ensure(name, place, silent)):
        with pytest.raises(DataError, match=f"{empty}: lacks {', '.join(NAMES)}\nrun: optilab data fetch"):
            act("fashion-mnist", folder)
    assert list(empty.iterdir()) == []
    (empty / NAMES[0]).write_bytes(b"1234567")  # here and damaged, and the others are missing
    with pytest.raises(DataError, match=rf"\n{empty / NAMES[0]}: expected SHA-256 .*; delete this file and run"):
        data.verify("fashion-mnist", folder)


def test_cache_before_debian_and_damage_is_not_passed_over(pinned: Path, tmp_path: Path) -> None:
    cache = write_idx_dataset(sources.search_path(fashion())[0][1])
    pinned.rename(tmp_path / "debian")
    assert data.load("fashion-mnist").folder == cache
    (cache / TRAIN_LABELS).rename(cache / "elsewhere")  # unfinished: the other folder is used
    assert data.load("fashion-mnist").folder == tmp_path / "debian"
    (cache / TRAIN_LABELS).write_bytes(b"damaged")  # complete, but damaged: the user is told
    with pytest.raises(
        DataError, match=f"{cache / TRAIN_LABELS}: .*; delete this file and run: optilab data fetch$"
    ):
        fetch.ensure("fashion-mnist", None, silent)


def test_idx_needs_a_folder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="--data-dir or set OPTILAB_DATA"):
        fetch.ensure("idx", None, silent)
    monkeypatch.setenv("OPTILAB_DATA", str(small))
    assert_is_small(fetch.ensure("idx", None, silent))


# Fetching


class Mirror:
    """A web server on this machine. A file's answer: its bytes, a status, `cut` in the middle, or `stall`."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, bytes | int | str] = {
            f"{name}.gz": gzip.compress((folder / name).read_bytes(), 1) for name in NAMES
        }
        self.asked: list[str] = []
        self.stalled = threading.Event()
        self.release = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                mirror.asked.append(name)
                answer = mirror.answers[name]
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                body = answer if isinstance(answer, bytes) else bytes(1000)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if isinstance(answer, bytes) else body[:500])
                if answer == "stall":
                    mirror.stalled.set()
                    mirror.release.wait(10)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirror(pinned: Path) -> Iterator[Mirror]:
    server = Mirror(pinned)
    yield server
    server.close()


@pytest.fixture
def no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no-bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "no-bin"))


def final_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.name in NAMES or path.suffix == ".gz")


def test_fetch(mirror: Mirror) -> None:
    seen: list[tuple[str, int, int | None]] = []
    folder = fetch.fetch("fashion-mnist", lambda *row: seen.append(row), mirrors=[mirror.url])
    assert folder == sources.search_path(fashion())[0][1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert_is_small(data.load("fashion-mnist"))
    for name, body in mirror.answers.items():
        rows = [row for row in seen if row[0] == name]
        assert rows[0] == (name, 0, None)
        assert isinstance(body, bytes)
        assert rows[-1] == (name, len(body), len(body))


def test_fetch_again_asks_only_for_what_is_not_good(mirror: Mirror) -> None:
    folder = fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])
    mirror.asked.clear()
    fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])
    assert mirror.asked == []
    (folder / TEST_LABELS).unlink()
    (folder / TRAIN_LABELS).write_bytes(b"damaged")
    compress(folder, TEST_IMAGES)  # good, and stays as it is
    fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])
    assert mirror.asked == [f"{TRAIN_LABELS}.gz", f"{TEST_LABELS}.gz"]
    assert_is_small(data.load("fashion-mnist"))


def test_fetch_heals_the_folder_that_is_named(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_idx_dataset(tmp_path / "mine" / "FashionMNIST" / "raw")
    (folder / f"{TRAIN_LABELS}.gz").write_bytes(b"damaged")
    (folder / TRAIN_LABELS).unlink()
    assert fetch.fetch("fashion-mnist", silent, tmp_path / "mine", [mirror.url]) == tmp_path / "mine"
    assert_is_small(data.load("fashion-mnist", tmp_path / "mine"))
    monkeypatch.setenv("OPTILAB_DATA", str(tmp_path / "other"))
    assert fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url]) == tmp_path / "other"


@pytest.mark.usefixtures("no_apt")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(gzip.compress(b"other"), "expected SHA-256 .* found SHA-256"), (404, "HTTP Error 404: Not Found")],
    ids=["other bytes", "404"],
)
def test_failing_mirror_leaves_nothing(mirror: Mirror, answer: bytes | int | str, reason: str) -> None:
    mirror.answers[f"{TRAIN_LABELS}.gz"] = answer
    with pytest.raises(DataError, match=f"  {mirror.url}{TRAIN_LABELS}.gz: ({reason})") as caught:
        fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])
    folder = sources.search_path(fashion())[0][1]
    assert [path.name for path in folder.iterdir()] == [TRAIN_IMAGES]  # the one that came whole
    assert mirror.asked == [f"{TRAIN_IMAGES}.gz", f"{TRAIN_LABELS}.gz"]  # and no more was asked for
    message = str(caught.value)
    assert "  apt-get and dpkg-deb: not on this machine\n" in message
    mirror.answers[f"{TRAIN_LABELS}.gz"] = gzip.compress((folder.parents[2] / "small" / TRAIN_LABELS).read_bytes())
    fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])
    assert_is_small(data.load("fashion-mnist"))


def test_two_fetches_at_once(mirror: Mirror) -> None:
    barrier = threading.Barrier(2)

    def first_run() -> data.Dataset:
        barrier.wait()
        return data.load("fashion-mnist", fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url]))

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(first_run) for _ in range(2)]
    for run in runs:
        assert_is_small(run.result())
    assert sorted(path.name for path in sources.search_path(fashion())[0][1].iterdir()) == sorted(NAMES)


KILLED = """
import os, sys, signal
from pathlib import Path
from optilab.data import load as data, fetch, sources, formats
from dataclasses import replace
from optilab.data.sources import DATASETS
DATASETS["fashion-mnist"] = replace(DATASETS["fashion-mnist"], digests=eval(sys.argv[1]))
if sys.argv[4] == "writing":
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
fetch.fetch("fashion-mnist", lambda *row: None, Path(sys.argv[2]), [sys.argv[3]])
"""


@pytest.mark.parametrize("phase", ["writing", "downloading"])
def test_killed_fetch(mirror: Mirror, tmp_path: Path, phase: str) -> None:
    whole = mirror.answers[f"{TRAIN_LABELS}.gz"]
    if phase == "downloading":
        mirror.answers[f"{TRAIN_LABELS}.gz"] = "stall"
    folder = tmp_path / "killed"
    arguments = [repr(fashion().digests), str(folder), mirror.url, phase]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as process:
        if phase == "downloading":
            assert mirror.stalled.wait(10)
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert final_names(folder) == ([] if phase == "writing" else [TRAIN_IMAGES])
    assert len(list(folder.glob(".*.tmp-*"))) == (phase == "writing")
    mirror.answers[f"{TRAIN_LABELS}.gz"] = whole
    fetch.fetch("fashion-mnist", silent, folder, [mirror.url])
    assert_is_small(data.load("fashion-mnist", folder))


def test_no_room(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "full"
    with pytest.raises(SystemFailure, match=f"{folder}.*: No space left on device.*; give another directory"):
        fetch.fetch("fashion-mnist", silent, folder, [mirror.url])
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.touch()
    for place in (folder, folder / "below"):
        with pytest.raises(SystemFailure, match=f"{folder} is a file, not a directory"):
            fetch.fetch("fashion-mnist", silent, place, [mirror.url])


def test_classes_are_torchvisions() -> None:
    theirs = {"fashion-mnist": datasets.FashionMNIST, "mnist": datasets.MNIST, "kmnist": datasets.KMNIST}
    assert {name: info.torchvision for name, info in DATASETS.items() if info.torchvision} == {
        name: kind.__name__ for name, kind in theirs.items()
    }
    for name, kind in theirs.items():
        info = DATASETS[name]
        assert kind.mirrors
        assert [name.removesuffix(".gz") for name in info.digests] == list(NAMES)
        pairs = zip(kind.classes, info.classes, strict=True)
        assert all(theirs.lower().startswith(ours.lower()) for theirs, ours in pairs)
        assert info.layouts[-1] == f"{kind.__name__}/raw"
        assert all(len(bytes.fromhex(digest)) == 32 for digest in info.digests.values())


def test_ensure_fetches_from_torchvisions_mirrors(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [mirror.url])
    assert_is_small(fetch.ensure("fashion-mnist", None, silent))


# Debian's package

APT = """#!/bin/sh
echo "apt-get $*" >> "$STUBS/log"
case "$*" in
    *update*) echo known > "$STUBS/known" ;;
    *download*)
        [ -e "$STUBS/offline" ] && { echo "E: Failed to fetch: Could not resolve" >&2; exit 100; }
        [ -e "$STUBS/known" ] || { echo "E: Unable to locate package dataset" >&2; exit 100; }
        echo archive > dataset.deb ;;
esac
"""
DPKG = """#!/bin/sh
echo "dpkg-deb $1" >> "$STUBS/log"
/bin/mkdir -p "$3$STUBS"
/bin/cp -r "$STUBS/debian" "$3$STUBS/debian"
"""


@pytest.fixture
def stubs(pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """apt-get and dpkg-deb that hand out the small dataset; their calls are written to `log`."""
    place = tmp_path / "stubs"
    write_idx_dataset(place / "debian")
    compress(place / "debian", *NAMES)
    (place / "bin").mkdir()
    for name, text in (("apt-get", APT), ("dpkg-deb", DPKG)):
        (place / "bin" / name).write_text(text)
        (place / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place / "bin"))
    monkeypatch.setenv("STUBS", str(place))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    change(monkeypatch, package_folder=place / "debian")
    return place


def test_package_completes_what_the_mirrors_began(stubs: Path, mirror: Mirror) -> None:
    mirror.answers[f"{TRAIN_LABELS}.gz"] = 404
    assert_is_small(data.load("fashion-mnist", fetch.fetch("fashion-mnist", silent, mirrors=[mirror.url])))


@pytest.mark.usefixtures("no_apt")
def test_ensure_says_where_it_looked_and_what_it_tried(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:1/"])
    with pytest.raises(DataError) as caught:
        fetch.ensure("fashion-mnist", None, silent)
    message = str(caught.value)
    for label, folder in sources.search_path(fashion()):
        assert f"{label}: {folder}: " in message
    for text in (*NAMES, "http://127.0.0.1:1/", "three ways out", "optilab data fetch"):
        assert text in message
