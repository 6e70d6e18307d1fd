"""Datasets by name: those without files, the user's .npz, and sizes that reach everything."""

import gzip
import hashlib
import io
import math
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab import runs
from optilab.data import fetch
from optilab.data import read as data
from optilab.data.catalog import ARRAYS, DATASETS
from optilab.diagnose import evidence_of
from optilab.errors import DataError, UsageError
from tests.kit.idx import NAMES, write_idx_dataset


def four(train=40, test=12, shape=(6, 5), classes=3):
    random = np.random.default_rng(1)
    labels = [np.arange(count) % classes for count in (train, test)]
    images = [random.integers(0, 256, (count, *shape), np.uint8) for count in (train, test)]
    return dict(zip(ARRAYS, (images[0], labels[0], images[1], labels[1]), strict=True))


def save(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def arrays_of(dataset: data.Dataset) -> list[np.ndarray]:
    return [dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels]


# Without a network


@pytest.mark.parametrize("name", ["synthetic", "digits"])
def test_what_needs_no_files_is_what_its_entry_says(name, monkeypatch):
    monkeypatch.setenv("OPTILAB_DATA", "/nowhere")  # of no concern to it
    info, dataset = DATASETS[name], fetch.load_or_fetch(name)
    images, labels, test_images, test_labels = arrays_of(dataset)
    assert (images.shape, test_images.shape) == ((info.train, *info.shape), (info.test, *info.shape))
    assert {array.dtype for array in arrays_of(dataset)} == {np.dtype(np.uint8)}
    assert sorted(set(labels)) == sorted(set(test_labels)) == list(range(len(info.classes)))
    assert dataset.digests == dict(info.digests)
    assert [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays_of(dataset)] == [
        *info.digests.values()
    ]
    assert (dataset.directory, list(dataset.digests)) == (None, list(ARRAYS))
    assert not images.flags.writeable
    assert fetch.fetch(name) is None


def test_another_scikit_learn_is_noticed_and_none_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r"pip install scikit-learn \(the extra digits\)"):
        data.load("digits")
    monkeypatch.undo()
    from sklearn.datasets import load_digits

    brighter = load_digits()
    brighter.images[0, 0, 0] += 1
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: brighter)
    with pytest.raises(DataError, match=r"digits: x_train: expected SHA-256 .* another release of scikit-learn"):
        data.load("digits")


# The user's own .npz


@pytest.mark.parametrize("labels", [np.int64, np.uint8, ">i2"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a[::-1]], ids=["Fortran", "view"])
def test_an_npz_is_read_as_numpy_reads_it(tmp_path, labels, compressed, change):
    """Also with labels in a column, as Keras has them."""
    arrays = {name: change(array) for name, array in four(shape=(4, 4, 3) if compressed else (6, 5)).items()}
    for name in ("y_train", "y_test"):
        arrays[name] = arrays[name].astype(labels)[:, None]
    path = save(tmp_path / "mine.npz", compressed, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with np.load(path) as theirs:
        for folder in (path, tmp_path):
            dataset = data.load("npz", folder)
            for name, ours in zip(ARRAYS, arrays_of(dataset), strict=True):
                np.testing.assert_array_equal(ours, theirs[name].squeeze() if name[0] == "y" else theirs[name])
                assert ours.dtype == np.uint8
                assert ours.flags.c_contiguous
            assert (dataset.directory, dataset.classes, dataset.digests) == (path, 3, {"mine.npz": digest})


CALLED: list[str] = []


class Pickled:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return CALLED.append, ("unpickled",)


# What is changed in the four arrays, and what the message says.
WRONG = {
    "lacking": ({"x_test": None, "y_test": None}, "it lacks x_test, y_test"),
    "pickled": ({"y_train": np.array([Pickled()] * 40)}, "y_train: Object arrays cannot be loaded"),
    "text": ({"y_train": np.array(["shirt"] * 40)}, "y_train: expected whole numbers .*, found <U5"),
    "floats": ({"x_train": np.full((40, 6, 5), 0.5)}, r"x_train: .*found float64 from 0.5 to 0.5"),
    "flat": ({"x_test": np.zeros((12, 30), np.uint8)}, r"x_test: expected shape \(images, .*found \(12, 30\)"),
    "negative": ({"y_train": np.arange(40) - 1}, "y_train: expected labels 0 to 255, found -1 to 38"),
    "from one": (
        {"y_train": np.arange(40) % 3 + 1},
        "y_train: expected an image of each class 0 to 3, found none of 0",
    ),
    "empty": ({"x_test": np.zeros((0, 6, 5), np.uint8)}, r"x_test: expected shape .*, found \(0, 6, 5\)"),
    "counts": ({"y_train": np.arange(39) % 3}, "y_train: expected 40 labels, found 39 labels"),
    "other size": ({"x_test": np.zeros((12, 5, 5), np.uint8)}, r"x_test: expected images of shape \(6, 5\)"),
    "new class": ({"y_test": np.arange(12) % 4}, r"y_test: expected labels 0 to 2 as in training, found 3"),
    "two": ({"x_train": np.zeros((40, 6, 5)), "y_test": np.zeros(12)}, r"x_train: .*\n.*y_test: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_array_is_refused(tmp_path, case):
    changes, message = WRONG[case]
    arrays = {name: array for name, array in {**four(), **changes}.items() if array is not None}
    path = save(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=f"^{path}: .*{message}"):
        data.load("npz", path)
    assert CALLED == []
    if case == "two":
        (row,) = data.verify("npz", path)
        assert (row.name, row.ok, row.size) == ("mine.npz", False, path.stat().st_size)


def claims(shape, size=5):
    """An archive whose x_train claims a shape and has `size` bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size)
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        for name in ARRAYS:
            archive.writestr(f"{name}.npy", member)
    return stream.getvalue()


def bomb() -> bytes:
    np.savez_compressed(stream := io.BytesIO(), **{**four(), "x_train": np.zeros((1000, 40, 40), np.uint8)})
    return stream.getvalue()


DAMAGED = {
    "not a zip": (b"<!DOCTYPE html>", "expected an .npz file, found: File is not a zip file"),
    "empty": (b"", "expected an .npz file"),
    "huge": (claims("(1000000, 100000, 1000)"), "x_train: "),
    "short": (claims("(2, 2, 2)"), "x_train: EOF: reading array data, expected 8 bytes got 5"),
    "large": (bomb(), "x_train.npy: expected at most 1,000,000 bytes, found more"),
    "code": (claims("__import__('os').abort()"), "x_train: "),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_npz_is_refused(tmp_path, case, monkeypatch):
    content, message = DAMAGED[case]
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    monkeypatch.setattr(data, "MAX_BYTES", 1_000_000 if case == "large" else data.MAX_BYTES)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        data.load("npz", path)


@settings(max_examples=30)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_flipped_bit_or_a_cut_is_noticed(tmp_path_factory, place, bit, cut):
    path = save(tmp_path_factory.mktemp("npz") / "mine.npz", **four())
    whole = arrays_of(data.load("npz", path))
    content = bytearray(path.read_bytes())
    at = int(place * len(content))
    content[at] ^= 1 << bit
    path.write_bytes(content[:at] if cut else content)
    try:
        damaged = arrays_of(data.load("npz", path))
    except DataError:
        return
    for ours, theirs in zip(damaged, whole, strict=True):  # a bit that says nothing, such as the date of a member
        np.testing.assert_array_equal(ours, theirs)


def test_where_an_npz_may_be(tmp_path, monkeypatch):
    for folder in (None, tmp_path / "nothing.npz", tmp_path):
        with pytest.raises(DataError, match="npz"):
            data.load("npz", folder)
    save(tmp_path / "a.npz", **four())
    save(tmp_path / "b.npz", **four())
    with pytest.raises(DataError, match=r"expected one \.npz file, found 2"):
        data.load("npz", tmp_path)
    with pytest.raises(DataError, match=r"there is no directory .*a\.npz"):
        data.load("mnist", tmp_path / "a.npz")
    monkeypatch.setenv("OPTILAB_DATA", str(tmp_path / "b.npz"))
    assert data.load("npz").directory == tmp_path / "b.npz"
    with pytest.raises(UsageError, match="npz is your images"):
        fetch.fetch("npz")


# Several datasets on one machine


def pin(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path, suffix: str = "") -> None:
    """Take the files of a folder for those of a published dataset."""
    names = [f"{file}{suffix}" for file in NAMES]
    digests = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in names}
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], digests=digests))


def test_a_named_folder_may_hold_several(tmp_path, monkeypatch):
    pin(monkeypatch, "fashion-mnist", write_idx_dataset(tmp_path, seed=1))
    pin(monkeypatch, "mnist", write_idx_dataset(tmp_path / "mnist", seed=2))
    assert data.load("fashion-mnist", tmp_path).directory == tmp_path
    assert data.load("mnist", tmp_path).directory == tmp_path / "mnist"
    (tmp_path / "mnist").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="expected SHA-256"):
        data.load("mnist", tmp_path)


def test_digests_of_compressed_files(tmp_path, monkeypatch):
    folder = write_idx_dataset(tmp_path / "kmnist")
    expected = arrays_of(data.load("idx", folder))
    for path in folder.glob("*ubyte"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=1))
        path.write_bytes(b"not looked at")
    pin(monkeypatch, "kmnist", folder, ".gz")
    dataset = data.load("kmnist", tmp_path)
    for ours, theirs in zip(arrays_of(dataset), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert dataset.digests == DATASETS["kmnist"].digests
    image = folder / "t10k-images-idx3-ubyte.gz"
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes()), mtime=2))  # the same images, packed again
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: expected SHA-256"):
        data.load("kmnist", tmp_path)


# As a user sees them


def test_sizes_and_classes_of_own_images_reach_everything(optilab, tmp_path):
    place = save(tmp_path / "mine.npz", **four(train=90, test=30, shape=(6, 5), classes=3))
    line = ["train", "sigmoid", "--epochs", "2", "--data-dir", place, "--set", "data.dataset=npz", "--name", "own"]
    shown = optilab(*line, "--threads", "1", "--batch-size", "16").stdout
    assert "30-128-128-128-128-128-3 " in shown
    assert "npz, 90 train, 30 validation" in shown
    record = runs.read(tmp_path / "runs" / "own")
    evidence = evidence_of(record)
    assert record.manifest["data"]["classes"] == 3
    assert (evidence.chance, evidence.chance_loss) == (pytest.approx(1 / 3), pytest.approx(math.log(3)))
    assert record.rows()[0]["val_loss"] < 3 * math.log(3)
    optilab("train", "--resume", "own", "--epochs", "3")
    optilab("report", "own", "--out", "own.html")
    save(place, **four(train=90, test=30, classes=2))
    optilab("train", "--resume", "own", "--epochs", "4", code=4)


def test_a_sweep_over_datasets_trains_each_on_its_own(optilab, tmp_path):
    line = ["sweep", "sigmoid", "--over", "data.dataset=digits,synthetic", "--epochs", "1", "--name", "both"]
    optilab(*line, "--set", "data.images=200", "--quiet", OPTILAB_DATA=str(tmp_path / "nothing"))
    trained = [runs.read(path).manifest["data"] for path in runs.directories(tmp_path / "runs" / "both")]
    assert {facts["dataset"] for facts in trained} == {"digits", "synthetic"}
    for facts in trained:
        info = DATASETS[facts["dataset"]]
        assert facts["sha256"] == info.digests
        assert (facts["folder"], facts["train"], facts["validation"]) == (None, 200, info.test)
