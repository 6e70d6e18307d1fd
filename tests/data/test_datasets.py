"""Datasets by name: those without files, the user's .npz, and sizes that reach everything."""

import hashlib
import io
import math
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from optilab import runs
from optilab.data import fetch, formats, sources
from optilab.data import load as data
from optilab.data.sources import ARRAYS, DATASETS
from optilab.diagnose import of_run
from optilab.errors import DataError, UsageError
from tests.data.idx import idx_bytes, write_idx_dataset, write_sums


def silent(label: str, done: int, total: int | None) -> None:
    pass


def arrays_of(found: data.Dataset) -> list[np.ndarray]:
    return [found.train_images, found.train_labels, found.test_images, found.test_labels]


# Without a network


@pytest.mark.parametrize("name", ["synthetic", "digits"])
def test_what_needs_no_files_is_what_its_entry_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTILAB_DATA", "/nowhere")  # of no concern to it
    info, found = DATASETS[name], fetch.ensure(name, None, silent)
    images, labels, test_images, test_labels = arrays_of(found)
    assert (images.shape, test_images.shape) == ((info.train, *info.shape), (info.test, *info.shape))
    assert {array.dtype for array in arrays_of(found)} == {np.dtype(np.uint8)}
    assert sorted(set(labels)) == sorted(set(test_labels)) == list(range(len(info.classes)))
    assert found.digests == dict(info.digests)
    assert [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays_of(found)] == [*info.digests.values()]
    assert (found.folder, list(found.digests)) == (None, list(ARRAYS))
    assert not images.flags.writeable
    assert fetch.fetch(name, silent) is None


def test_the_digits_are_scikit_learns_split_as_it_splits() -> None:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, shuffle=False)
    found = data.load("digits")
    for ours, theirs in ((found.train_images, x_train), (found.test_images, x_test)):
        np.testing.assert_array_equal(np.rint(ours.reshape(len(ours), -1) * (16 / 255)), theirs)
    np.testing.assert_array_equal(found.train_labels, y_train)
    np.testing.assert_array_equal(found.test_labels, y_test)


def test_synthetic_can_be_learned_but_not_by_a_linear_classifier_alone() -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.neural_network import MLPClassifier

    x, y, x_test, y_test = arrays_of(data.load("synthetic"))
    x, x_test = (images.reshape(len(images), -1) / 255 for images in (x, x_test))
    linear = RidgeClassifier().fit(x, y).score(x_test, y_test)
    network = MLPClassifier((64,), max_iter=8, random_state=0)
    with pytest.warns(Warning, match="Maximum iterations"):
        network.fit(x, y)
    assert 0.4 < linear < 0.75
    assert network.score(x_test, y_test) > linear + 0.05


def test_another_scikit_learn_is_noticed_and_none_is_named(monkeypatch: pytest.MonkeyPatch, optilab) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'optilab\[digits\]'"):
        data.load("digits")
    monkeypatch.undo()
    monkeypatch.setattr("sklearn.datasets.load_digits", _one_pixel_brighter())
    with pytest.raises(DataError, match=r"digits: x_train: expected SHA-256 .* another release of scikit-learn"):
        data.load("digits")


def _one_pixel_brighter():
    from sklearn.datasets import load_digits

    found = load_digits()
    found.images[0, 0, 0] += 1
    return lambda: found


# The user's own .npz


def four(
    train: int = 40, test: int = 12, shape: tuple[int, ...] = (6, 5), classes: int = 3
) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    labels = [np.arange(count) % classes for count in (train, test)]
    images = [random.integers(0, 256, (count, *shape), np.uint8) for count in (train, test)]
    return dict(zip(ARRAYS, (images[0], labels[0], images[1], labels[1]), strict=True))


def save(path: Path, compressed: bool = False, **arrays: np.ndarray) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("shape", [(6, 5), (4, 4, 3)], ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "change", [lambda a: a, np.asfortranarray, lambda a: a[::-1]], ids=["C", "Fortran", "view"]
)
def test_an_npz_is_read_as_numpy_reads_it(tmp_path: Path, shape, compressed: bool, change) -> None:
    path = save(
        tmp_path / "mine.npz", compressed, **{name: change(array) for name, array in four(shape=shape).items()}
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with np.load(path) as theirs:
        for folder in (path, tmp_path):
            found = data.load("npz", folder)
            for name, ours in zip(ARRAYS, arrays_of(found), strict=True):
                np.testing.assert_array_equal(ours, theirs[name])
                assert ours.dtype == np.uint8
                assert ours.flags.c_contiguous
            assert (found.folder, found.classes, found.digests) == (path, 3, {"mine.npz": digest})


@pytest.mark.parametrize("labels", [np.int64, np.int32, np.uint8, ">i2"])
def test_labels_of_every_whole_type_and_kerass_column(tmp_path: Path, labels) -> None:
    arrays = four()
    for name in ("y_train", "y_test"):
        arrays[name] = arrays[name].astype(labels)[:, None]
    found = data.load("npz", save(tmp_path / "mine.npz", **arrays))
    np.testing.assert_array_equal(found.train_labels, arrays["y_train"][:, 0])


CALLED: list[str] = []


class Pickled:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return CALLED.append, ("unpickled",)


# What is changed in the four arrays, and what the message says.
WRONG: dict[str, tuple[dict[str, object], str]] = {
    "lacking": ({"x_test": None, "y_test": None}, "it lacks x_test, y_test, and has x_train, y_train"),
    "pickled": ({"y_train": np.array([Pickled()] * 40)}, "y_train: .*Python objects, which are never unpickled"),
    "text": ({"y_train": np.array(["shirt"] * 40)}, "y_train: expected an array of numbers, found <U5"),
    "floats": (
        {"x_train": np.full((40, 6, 5), 0.5)},
        r"x_train: .*found float64 with 0.5 to 0.5; save numpy.rint\(255 \* x\)",
    ),
    "NaN": ({"x_train": np.full((40, 6, 5), np.nan)}, "x_train: .*found float64 with NaN$"),
    "flat": ({"x_test": np.zeros((12, 30), np.uint8)}, r"x_test: expected shape \(images, .*found \(12, 30\)"),
    "negative": ({"y_train": np.arange(40) - 1}, "y_train: expected labels 0 to 255, found -1 to 38"),
    "from one": (
        {"y_train": np.arange(40) % 3 + 1},
        "y_train: expected labels from 0, found 1 to 3; save y_train - 1",
    ),
    "empty": ({"x_test": np.zeros((0, 6, 5), np.uint8)}, "x_test: expected at least one item"),
    "counts": ({"y_train": np.arange(39) % 3}, "y_train: expected 40 labels, found 39 labels"),
    "other size": ({"x_test": np.zeros((12, 5, 5), np.uint8)}, r"x_test: expected images of shape \(6, 5\)"),
    "new class": ({"y_test": np.arange(12) % 4}, r"y_test: expected labels 0 to 2 as in training, found 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_array_is_refused(tmp_path: Path, case: str) -> None:
    changes, message = WRONG[case]
    arrays = {name: array for name, array in {**four(), **changes}.items() if array is not None}
    path = save(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=f"^{path}: .*{message}"):
        data.load("npz", path)
    assert CALLED == []


def test_all_wrong_arrays_are_named_at_once(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", **{**four(), "x_train": np.zeros((40, 6, 5)), "y_test": np.zeros(12)})
    with pytest.raises(DataError) as caught:
        data.load("npz", path)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["x_train", "y_test"]
    (row,) = data.verify("npz", path)
    assert (row.name, row.ok, row.size) == ("mine.npz", False, path.stat().st_size)


def claims(shape: str, size: int = 5) -> bytes:
    """An archive whose x_train claims a shape and has `size` bytes."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(size)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ARRAYS:
            archive.writestr(f"{name}.npy", member)
    return stream.getvalue()


def cut(data: bytes) -> bytes:
    return data[:-30]


def flipped(data: bytes) -> bytes:
    middle = data.index(b"\n", 60) + 40
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGED = {
    "not a zip": (b"<!DOCTYPE html>", "expected an .npz file, found: a file of another kind; save it with"),
    "empty": (b"", "expected an .npz file"),
    "cut": (cut, "expected an .npz file"),
    "a bit": (flipped, "x_train: .*CRC"),
    "huge": (claims("(1000000, 100000, 1000)"), r"x_train: expected 100000000000000 bytes for shape .*, found 0"),
    "short": (claims("(2, 2, 2)"), r"x_train: expected 8 bytes for shape \(2, 2, 2\), found 5"),
    "no header": (claims("(2, "), "x_train: expected a header of NumPy"),
    "code": (claims("__import__('os').abort()"), "x_train: expected a header of NumPy"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_npz_is_refused(tmp_path: Path, case: str) -> None:
    content, message = DAMAGED[case]
    path = save(tmp_path / "mine.npz", **four())
    path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))
    with pytest.raises(DataError, match=f"{path}: {message}"):
        data.load("npz", path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "mine.npz", True, **{**four(), "x_train": np.zeros((1000, 40, 40), np.uint8)})
    monkeypatch.setattr(formats, "MAX_BYTES", 1_000_000)
    assert path.stat().st_size < 50_000
    with pytest.raises(DataError, match="x_train: expected at most 1000000 bytes, found 16001"):
        data.load("npz", path)


def test_where_an_npz_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTILAB_DATA", raising=False)
    with pytest.raises(DataError, match=r"give --data-dir FILE\.npz"):
        data.load("npz")
    with pytest.raises(DataError, match=r"nothing\.npz: expected an \.npz file, or a directory of one"):
        data.load("npz", tmp_path / "nothing.npz")
    with pytest.raises(DataError, match=r"expected an \.npz file, or a directory of one; found none"):
        data.load("npz", tmp_path)
    save(tmp_path / "a.npz", **four())
    save(tmp_path / "b.npz", **four())
    with pytest.raises(DataError, match=r"found 2: a\.npz, b\.npz; name the file, as in --data-dir .*a\.npz"):
        data.load("npz", tmp_path)
    assert sources.find(DATASETS["npz"], tmp_path) is None
    assert sources.find(DATASETS["npz"], tmp_path / "a.npz") == tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"a\.npz: is a file \(own images .*--set data\.dataset=npz\)"):
        data.load("mnist", tmp_path / "a.npz")
    monkeypatch.setenv("OPTILAB_DATA", str(tmp_path / "b.npz"))
    assert data.load("npz").folder == tmp_path / "b.npz"
    with pytest.raises(UsageError, match="npz is your own images"):
        fetch.fetch("npz", silent)


# Several datasets on one machine


def test_a_named_folder_may_hold_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pin(monkeypatch, "fashion-mnist", write_idx_dataset(tmp_path, seed=1))
    pin(monkeypatch, "mnist", write_idx_dataset(tmp_path / "mnist", seed=2))
    assert data.load("fashion-mnist", tmp_path).folder == tmp_path
    assert data.load("mnist", tmp_path).folder == tmp_path / "mnist"
    (tmp_path / "mnist").rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=r"which is FashionMNIST's \(fashion-mnist\); give the directory of mnist"
    ) as caught:
        data.load("mnist", tmp_path)
    assert "delete" not in str(caught.value)
    assert f"optilab data fetch mnist --data-dir {tmp_path}" in str(caught.value)


def pin(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path, suffix: str = "") -> None:
    """Take the files of a folder for those of a published dataset."""
    from dataclasses import replace

    from tests.data.idx import NAMES

    names = [f"{file}{suffix}" for file in NAMES]
    digests = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in names}
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], digests=digests))


def test_digests_of_compressed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    folder = write_idx_dataset(tmp_path / "kmnist")
    expected = arrays_of(data.load("idx", folder))
    for path in folder.glob("*ubyte"):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=1))
    pin(monkeypatch, "kmnist", folder, ".gz")
    for path in folder.glob("*ubyte"):
        path.write_bytes(b"not looked at")
    found = data.load("kmnist", tmp_path)
    for ours, theirs in zip(arrays_of(found), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.digests == DATASETS["kmnist"].digests
    image = folder / "t10k-images-idx3-ubyte.gz"
    image.write_bytes(gzip.compress(gzip.decompress(image.read_bytes()), mtime=2))  # the same images, packed anew
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: expected SHA-256"):
        data.load("kmnist", tmp_path)


# As a user sees them


@pytest.mark.parametrize("form", ["npz", "idx"])
def test_sizes_and_classes_of_own_images_reach_everything(optilab, tmp_path: Path, form: str) -> None:
    arrays = four(train=90, test=30, shape=(6, 5), classes=3)
    if form == "npz":
        place = save(tmp_path / "mine.npz", **arrays)
    else:
        place = tmp_path / "mine"
        place.mkdir()
        for split, name in (("train", "train"), ("t10k", "test")):
            (place / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(arrays[f"x_{name}"]))
            (place / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(arrays[f"y_{name}"].astype(np.uint8)))
        write_sums(place)
    line = [
        "train",
        "sigmoid",
        "--epochs",
        "2",
        "--data-dir",
        place,
        "--set",
        f"data.dataset={form}",
        "--name",
        "own",
    ]
    shown = optilab(*line, "--threads", "1", "--batch-size", "16").stdout
    assert "30-128-128-128-128-128-3 " in shown
    assert f"{form}, 90 train, 30 validation" in shown
    if form == "npz":
        assert f"(sha256 {hashlib.sha256(place.read_bytes()).hexdigest()[:16]})" in shown
    record = runs.read(tmp_path / "runs" / "own")
    evidence = of_run(record)
    assert record.manifest["data"]["classes"] == 3
    assert (evidence.chance, evidence.entropy) == (pytest.approx(1 / 3), pytest.approx(math.log(3)))
    assert record.rows()[0]["val_loss"] < 3 * math.log(3)
    optilab("train", "--resume", "own", "--epochs", "3")
    optilab("report", "own", "--out", "own.html")
    if form == "npz":
        save(place, **four(train=90, test=30, classes=2))
        assert "another dataset" in optilab("train", "--resume", "own", "--epochs", "4", code=4).stderr


def test_a_sweep_over_datasets_trains_each_on_its_own(optilab, tmp_path: Path) -> None:
    line = [
        "sweep",
        "sigmoid",
        "--over",
        "data.dataset=digits,synthetic",
        "--epochs",
        "1",
        "--name",
        "both",
        "--quiet",
    ]
    optilab(*line, "--set", "data.images=200", OPTILAB_DATA=str(tmp_path / "nothing"))
    trained = {}
    for path in runs.directories(tmp_path / "runs" / "both"):
        manifest = runs.read(path).manifest
        trained[manifest["data"]["dataset"]] = manifest["data"]
    assert set(trained) == {"digits", "synthetic"}
    for name, facts in trained.items():
        assert facts["sha256"] == DATASETS[name].digests
        assert (facts["folder"], facts["train"], facts["validation"]) == (None, 200, DATASETS[name].test)


def test_a_worker_has_an_npz_or_gets_it(tmp_path: Path) -> None:
    from optilab.study import cluster_worker

    path = save(tmp_path / "mine.npz", **four())
    files = cluster_worker.digests([path])
    elsewhere = {f"/study/{Path(name).name}": digest for name, digest in files.items()}
    assert cluster_worker._missing(path, elsewhere) == []
    assert cluster_worker._missing(tmp_path / "absent.npz", elsewhere) == ["/study/mine.npz"]
    assert cluster_worker._missing(tmp_path, elsewhere) == []  # a folder of one, as it is sent
    save(path, **four(classes=2))
    assert cluster_worker._missing(path, elsewhere) == ["/study/mine.npz"]
