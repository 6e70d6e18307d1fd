"""The dataset on disk: what is accepted, what is refused, and that a fetch leaves whole files or none."""

import gc
import gzip
import hashlib
import os
import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from optilab.data import catalog, fetch
from optilab.data import read as data
from optilab.data.catalog import DATASETS
from optilab.errors import DataError, SystemFailure
from tests.kit.command import python
from tests.kit.idx import NAMES, arrays, idx_bytes, write_idx_dataset, write_sums

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES
# torchvision leaves sockets of failed downloads open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The small dataset, taken for FashionMNIST, which Debian's package is said to put into debian/."""
    folder = write_idx_dataset(tmp_path / "small")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    changed = replace(DATASETS["fashion-mnist"], package_directory=tmp_path / "debian", digests=digests)
    monkeypatch.setitem(DATASETS, "fashion-mnist", changed)
    return folder


@pytest.fixture
def cache(small, tmp_path):
    return tmp_path / "cache" / "optilab" / "fashion-mnist"


def compress(folder, *names):
    for name in names:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), 1))
        (folder / name).unlink()


def assert_is_small(dataset):
    stored = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    for name, array in zip(NAMES, stored, strict=True):
        np.testing.assert_array_equal(array, arrays()[name])
        assert array.dtype == np.uint8
        assert not array.flags.writeable


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [(), NAMES, (TRAIN_IMAGES, TEST_LABELS)], ids=["raw", "gz", "mixed"])
@pytest.mark.parametrize("layout", [".", "idx"])
def test_reads_what_was_written(small, tmp_path, zipped, layout):
    compress(small, *zipped)
    shutil.copytree(small, tmp_path / "there" / layout)
    dataset = data.load("idx", tmp_path / "there")
    assert_is_small(dataset)
    assert (dataset.name, dataset.classes, list(dataset.digests)) == ("idx", 10, list(NAMES))
    rows = data.verify("idx", tmp_path / "there")
    assert [(row.name, row.size, row.digest, row.ok, row.problem) for row in rows] == [
        (name, len(idx_bytes(arrays()[name])), dataset.digests[name], True, "") for name in NAMES
    ]


def test_other_sizes_and_fewer_classes(tmp_path):
    """With sums of `sha256sum --binary`, of an editor of Windows, and of other files."""
    for split, count in (("train", 7), ("t10k", 3)):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(np.ones((count, 5, 4), np.uint8)))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count, dtype=np.uint8)))
    write_sums(tmp_path)
    sums = tmp_path / "SHA256SUMS"
    text = sums.read_text().replace("  ", " *").replace("\n", "\r\n")
    sums.write_bytes(f"{'0' * 64}  README\n\n{text}".encode())
    dataset = data.load("idx", tmp_path)
    assert (dataset.train_images.shape, dataset.test_images.shape, dataset.classes) == ((7, 5, 4), (3, 5, 4), 7)


# --- refusing ----------------------------------------------------------------------------------------------


def edit(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def cut_gz(folder):
    compress(folder, TRAIN_IMAGES)
    edit(f"{TRAIN_IMAGES}.gz", lambda raw: raw[:-100])(folder)


def huge(folder):
    with (folder / TRAIN_IMAGES).open("wb") as file:
        file.truncate(data.MAX_BYTES + 1)  # sparse


def ones(*shape):
    return lambda raw: idx_bytes(np.ones(shape, np.uint8))


# What is done to the folder, the file that the message names, and what it says was expected and found. Where the
# digests are made to agree, only the structure can tell.
MUTATIONS = {
    "cut": (edit(TRAIN_IMAGES, lambda raw: raw[:-1]), TRAIN_IMAGES, "and 156815 bytes"),
    "labels as images": (edit(TRAIN_IMAGES, ones(200)), TRAIN_IMAGES, r"0x00000803\), found magic 0x00000801"),
    "fewer labels": (edit(TRAIN_LABELS, ones(100)), TRAIN_LABELS, "200 labels, found 100 labels"),
    "huge shape": (edit(TEST_IMAGES, lambda raw: raw[:4] + b"\xff" * 12 + raw[16:]), TEST_IMAGES, "4294967295"),
    "other shape": (edit(TEST_IMAGES, ones(100, 5, 4)), TEST_IMAGES, r"\(28, 28\).*\(5, 4\)"),
    "unknown label": (edit(TEST_LABELS, lambda raw: raw[:-1] + b"\x0a"), TEST_LABELS, r"0 to 9 .*found 10"),
}
DAMAGES = {
    "cut gz": (cut_gz, TRAIN_IMAGES, "whole gzip file, found: Compressed file ended"),
    "a flip": (edit(TEST_IMAGES, lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), TEST_IMAGES, "found SHA-256"),
    "absent": (lambda folder: (folder / TEST_LABELS).unlink(), TEST_LABELS, "lacks t10k-labels"),
    "too large": (huge, TRAIN_IMAGES, "expected at most 200,000,000 bytes, found more"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_wrong_structure_is_refused(small, mutation):
    change, name, message = MUTATIONS[mutation]
    change(small)
    write_sums(small)
    with pytest.raises(DataError, match=f"{name}: expected .*{message}.*"):
        data.load("idx", small)


@pytest.mark.parametrize("dataset", ["fashion-mnist", "idx"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(small, damage, dataset):
    change, name, message = DAMAGES[damage]
    change(small)
    with pytest.raises(DataError, match=message) as caught:
        data.load(dataset, small)
    assert str(small) in str(caught.value)
    if damage != "absent":
        assert [row.name for row in data.verify(dataset, small) if not row.ok] == [name]


# --- finding -----------------------------------------------------------------------------------------------


def test_search_path(cache, tmp_path, monkeypatch):
    info = DATASETS["fashion-mnist"]
    for value, places in (("", [cache, tmp_path / "debian"]), ("~/fm", [Path.home() / "fm"])):
        monkeypatch.setenv("OPTILAB_DATA", value)
        assert catalog.search_path(info) == places
    assert catalog.search_path(info, tmp_path) == [tmp_path]


@pytest.mark.parametrize("named", ["argument", "environment"])
def test_a_named_folder_is_never_replaced(small, tmp_path, monkeypatch, named):
    small.rename(tmp_path / "debian")
    assert_is_small(data.load("fashion-mnist"))
    empty = tmp_path / "empty"
    empty.mkdir()
    if named == "environment":
        monkeypatch.setenv("OPTILAB_DATA", str(empty))
    for act in (data.load, data.verify, lambda name, place: fetch.load_or_fetch(name, place)):
        with pytest.raises(DataError, match=f"{empty} lacks {', '.join(NAMES)}"):
            act("fashion-mnist", empty if named == "argument" else None)
    assert list(empty.iterdir()) == []


def test_cache_before_debian_and_damage_is_not_passed_over(small, cache, tmp_path):
    write_idx_dataset(cache)
    small.rename(tmp_path / "debian")
    assert data.load("fashion-mnist").directory == cache
    (cache / TRAIN_LABELS).rename(cache / "elsewhere")  # unfinished: the other folder is used
    assert data.load("fashion-mnist").directory == tmp_path / "debian"
    (cache / TRAIN_LABELS).write_bytes(b"damaged")  # complete, but damaged: the user is told
    with pytest.raises(DataError, match=f"{cache / TRAIN_LABELS}: "):
        fetch.load_or_fetch("fashion-mnist")


def test_idx_needs_a_folder(small, monkeypatch):
    with pytest.raises(DataError, match="--data-dir or OPTILAB_DATA"):
        fetch.load_or_fetch("idx")
    monkeypatch.setenv("OPTILAB_DATA", str(small))
    assert_is_small(fetch.load_or_fetch("idx"))


# --- fetching ----------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def web(small, tmp_path, monkeypatch):
    """The directory of torchvision's only mirror, which has the small dataset."""
    shutil.copytree(small, folder := tmp_path / "web")
    compress(folder, *NAMES)
    monkeypatch.setenv("PATH", str(tmp_path))  # without apt-get
    monkeypatch.setattr(datasets.FashionMNIST, "resources", [(f"{name}.gz", None) for name in NAMES])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as http:
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{http.server_port}/"])
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield folder
        http.shutdown()
        gc.collect()


def test_fetch_keeps_what_is_whole(web, cache):
    assert fetch.fetch("fashion-mnist") == cache
    assert sorted(path.name for path in cache.iterdir()) == sorted(NAMES)
    assert_is_small(data.load("fashion-mnist"))
    (cache / TEST_LABELS).unlink()
    (cache / TRAIN_LABELS).write_bytes(b"damaged")
    compress(cache, TEST_IMAGES)  # good, and stays as it is
    fetch.fetch("fashion-mnist")
    shutil.rmtree(web)
    assert fetch.fetch("fashion-mnist") == cache
    assert (cache / f"{TEST_IMAGES}.gz").exists()
    assert_is_small(fetch.load_or_fetch("fashion-mnist"))


def test_ensure_fetches_and_a_fetch_heals_the_folder_that_is_named(web, tmp_path):
    assert_is_small(fetch.load_or_fetch("fashion-mnist"))
    folder = write_idx_dataset(tmp_path / "mine" / "FashionMNIST" / "raw")
    (folder / TRAIN_LABELS).write_bytes(b"damaged")
    assert fetch.fetch("fashion-mnist", tmp_path / "mine") == tmp_path / "mine" / "fashion-mnist"
    assert_is_small(data.load("fashion-mnist", tmp_path / "mine"))


BAD = {
    "absent": (lambda file: file.unlink(), "HTTP Error 404"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:500]), "ended before the end-of-stream"),
    "other bytes": (
        lambda file: file.write_bytes(gzip.compress(idx_bytes(np.ones((200, 28, 28), np.uint8)))),
        "FashionMNIST: train-images-idx3-ubyte: expected SHA-256 .*, found SHA-256",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_a_bad_server_sends_is_named_and_left(web, tmp_path, case):
    change, reason = BAD[case]
    change(web / f"{TRAIN_IMAGES}.gz")
    with pytest.raises(DataError, match=f"could not be fetched into .*; tried:(.|\n)*{reason}"):
        fetch.fetch("fashion-mnist", tmp_path / "there")
    assert not (tmp_path / "there").exists()


KILLED = """
import os, sys, signal
from pathlib import Path
from torchvision import datasets
from optilab.data import fetch
from optilab.data.catalog import DATASETS
DATASETS["fashion-mnist"].digests.update(eval(sys.argv[2]))
datasets.FashionMNIST.mirrors, datasets.FashionMNIST.resources = eval(sys.argv[3])
fsync = os.fsync
os.fsync = lambda descriptor: (sys.audit("os.fsync"), fsync(descriptor))

def killed_at(moment):
    calls = 0
    def count(*event):
        nonlocal calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    fetch.fetch("fashion-mnist", Path(sys.argv[1], str(moment)))
    Path(sys.argv[1], "calls").write_text(str(calls))
    os._exit(0)

def forked(moment):
    if not (child := os.fork()):
        killed_at(moment)
    assert (os.waitpid(child, 0)[1] == signal.SIGKILL) == (moment > 0)

forked(0)
calls = int(Path(sys.argv[1], "calls").read_text())
for tenth in range(10):
    forked(calls * (2 * tenth + 1) // 20)
"""


def test_killed_fetch(web, tmp_path):
    """A kill at any of ten moments leaves whole files or none; the next fetch leaves these alone."""
    theirs = datasets.FashionMNIST
    facts = DATASETS["fashion-mnist"].digests, (theirs.mirrors, theirs.resources)
    python(KILLED, tmp_path, tmp_path, *map(repr, facts))
    folders = [path for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(folders) == 11  # with the fetch that counts its calls
    for folder in folders:
        whole = [path for path in folder.glob("fashion-mnist/*") if not path.name.startswith(".")]
        assert all(path.read_bytes() == idx_bytes(arrays()[path.name]) for path in whole)
        fetch.fetch("fashion-mnist", folder)
        assert_is_small(data.load("fashion-mnist", folder))
        assert sorted(path.name for path in folder.glob("*/*")) == sorted(NAMES)


def test_no_room(web, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "full"
    with pytest.raises(SystemFailure, match=f"{folder}.*: No space left on device"):
        fetch.fetch("fashion-mnist", folder)
    assert not folder.exists()
    folder.touch()
    for place in (folder, folder / "below"):
        with pytest.raises(SystemFailure, match=f"{folder}.*: (File exists|Not a directory)"):
            fetch.fetch("fashion-mnist", place)


def test_classes_are_torchvisions():
    theirs = {"fashion-mnist": datasets.FashionMNIST, "mnist": datasets.MNIST, "kmnist": datasets.KMNIST}
    assert {name for name, info in DATASETS.items() if info.torchvision} == {*theirs}
    for name, kind in theirs.items():
        info = DATASETS[name]
        assert kind.mirrors
        assert info.torchvision == kind.__name__
        assert [name.removesuffix(".gz") for name in info.digests] == list(NAMES)
        pairs = zip(kind.classes, info.classes, strict=True)
        assert all(theirs.lower().startswith(ours.lower()) for theirs, ours in pairs)
        assert all(len(bytes.fromhex(digest)) == 32 for digest in info.digests.values())


APT = '#!/bin/sh\ncase "$*" in *download*) echo archive > dataset.deb ;; esac\n'
UNPACK = '#!/bin/sh\n/bin/mkdir -p "$3$PLACE"\n/bin/cp -r "$PLACE/debian" "$3$PLACE/debian"\n'


def test_the_package_where_no_mirror_has_it(web, tmp_path, monkeypatch):
    """With an apt-get and a dpkg-deb that hand out the small dataset."""
    compress(write_idx_dataset(tmp_path / "debian"), *NAMES)
    (tmp_path / "bin").mkdir()
    for name, text in (("apt-get", APT), ("dpkg-deb", UNPACK)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLACE", str(tmp_path))
    shutil.rmtree(web)
    assert_is_small(fetch.load_or_fetch("fashion-mnist"))
