"""Damaged and hostile files: checkpoints, datasets, and everything else in a run directory."""

import hashlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from optilab import runs
from optilab.config.load import Override, load
from optilab.config.training import TrainConfig
from optilab.data import load as data
from optilab.errors import CheckpointError, DataError, OptilabError
from optilab.optimize import RULES
from optilab.train import checkpoint
from optilab.train.engine import Training
from tests.data.idx import NAMES, idx_bytes, write_idx_dataset, write_sums
from tests.faults.conftest import Drawn, Figure
from tests.faults.harness import Lab


@pytest.fixture
def half(lab: Lab) -> "Half":
    return Half(lab)


class Half:
    """A run with 5 of 12 epochs done, which can be resumed in this process any number of times."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.name = lab, "half"
        self.path = lab.path(self.name)
        if not self.path.exists():
            assert lab.start(self.name, "--epochs", "5").finish().code == 0
        self.original = {path: path.read_bytes() for path in self.path.rglob("*") if path.is_file()}
        text = str(lab.folder / "data")
        self.config = load(
            TrainConfig,
            str(lab.folder / "lab.yaml"),
            [Override("", "epochs", 12), Override("", "data.dir", text)],
        )
        self.dataset = data.load("idx", Path(text))
        (self.newest, self.file), (self.previous, self.older), *_ = runs.checkpoints(self.path)

    def mend(self) -> None:
        for path in [*self.path.rglob("*")]:
            if path.is_file() and path not in self.original:
                path.unlink()
        for path, content in self.original.items():
            path.write_bytes(content)

    def training(self) -> Training:
        return Training.start(self.config, self.dataset, torch.device("cpu"))

    def resumed(self, content: bytes | None = None) -> tuple[Training, list[str]]:
        """Resume with `content` in place of the newest checkpoint."""
        self.mend()
        if content is not None:
            self.file.write_bytes(content)
        training, warnings = self.training(), list[str]()
        checkpoint.resume(training, runs.Run(self.path, {}, None), warnings.append)
        return training, warnings

    def put(self, state: Any) -> bytes:
        """A state as the bytes of a checkpoint."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()


def _damages(whole: bytes, truncations: int, flips: int, chance: random.Random) -> list[bytes]:
    made = [whole[: chance.randrange(len(whole))] for _ in range(truncations - 2)] + [b"", b"not a checkpoint\n"]
    for _ in range(flips):
        position, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        made.append(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
    return made


@pytest.mark.parametrize(("truncations", "flips"), [(20, 80), pytest.param(200, 1000, marks=pytest.mark.slow)])
def test_damaged_checkpoint_falls_back(
    half: Half, figure: Figure, truncations: int, flips: int, drawn: Drawn
) -> None:
    """Each damage is detected, and the run continues from the bytes of the previous checkpoint."""
    whole, older = half.original[half.file], half.original[half.older]
    silent = 0
    for content in _damages(whole, truncations, flips, drawn(4)):
        training, warnings = half.resumed(content)
        silent += not (len(warnings) == 1 and half.file.name in warnings[0] and training.epoch == half.previous)
        assert checkpoint.save(training) == older
    half.mend()
    figure(
        "G4",
        f"{truncations} truncated, {flips} bit-flipped checkpoints",
        f"{silent} silent, {truncations + flips} recovered from the one before",
    )
    assert silent == 0


def test_negative_control_no_digest(
    half: Half, monkeypatch: pytest.MonkeyPatch, figure: Figure, drawn: Drawn
) -> None:
    """Without the digest, torch loads most flipped checkpoints without an error."""
    monkeypatch.setattr(runs, "read_checkpoint", lambda path, limit: path.read_bytes())
    damages = _damages(half.original[half.file], 2, 48, drawn(4))[2:]
    noticed = sum(bool(half.resumed(content)[1]) for content in damages)
    half.mend()
    figure("G4", "control: digest not checked, 48 flips", f"{48 - noticed} silent")
    assert noticed < 24


def test_damaged_newest_checkpoint_still_ends_identical(lab: Lab) -> None:
    for number, cut in enumerate((0, 1000, -1)):
        name = f"damaged-{number}"
        lab.start(name, "--epochs", "6").finish()
        (_, newest), *_ = runs.checkpoints(lab.path(name))
        newest.write_bytes(newest.read_bytes()[:cut])
        done = lab.warm.run(["train", "--resume", name, "--epochs", "12"], lab.folder)
        assert done.code == 0, done.err
        assert newest.name in done.err
        assert "using the one before" in done.err
        lab.compare(name)


def test_all_checkpoints_damaged(lab: Lab) -> None:
    lab.start("hopeless", "--epochs", "3").finish()
    files = [file for _, file in runs.checkpoints(lab.path("hopeless"))]
    for file in files:
        file.write_bytes(b"")
    done = lab.warm.run(["train", "--resume", "hopeless", "--epochs", "12"], lab.folder)
    assert done.code == 5
    assert "no usable checkpoint" in done.err
    assert "start again" in done.err
    assert all(file.exists() for file in files)
    assert "Traceback" not in done.err


# --- whole by its digest, and wrong ------------------------------------------------------------------------


def _state(content: bytes) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return state


def _rows(state: dict[str, Any], change: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = json.loads(state["rows"])
    change(rows)
    state["rows"] = json.dumps(rows)


def _first(state: dict[str, Any], kind: str) -> str:
    """The name of the first layer's weight or bias."""
    return next(name for name in state["model"] if name.endswith(kind))


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "NaN weight": lambda s: s["model"][_first(s, "weight")].view(-1)[:1].fill_(float("nan")),
    "infinite bias": lambda s: s["model"][_first(s, "bias")].view(-1)[:1].fill_(float("inf")),
    "int32 weights": lambda s: s["model"].update({_first(s, "weight"): s["model"][_first(s, "weight")].int()}),
    "float64 weights": lambda s: s["model"].update(
        {_first(s, "weight"): s["model"][_first(s, "weight")].double()}
    ),
    "another shape": lambda s: s["model"].update(
        {_first(s, "weight"): s["model"][_first(s, "weight")].T.contiguous()}
    ),
    "a missing layer": lambda s: s["model"].pop(_first(s, "bias")),
    "one layer more": lambda s: s["model"].update({"9.weight": torch.zeros(3)}),
    "a weight that is a list": lambda s: s["model"].update({_first(s, "bias"): [0.0]}),
    "learning rate as text": lambda s: s["optimizer"]["param_groups"][0].update({"lr": "x"}),
    "another learning rate": lambda s: s["optimizer"]["param_groups"][0].update({"lr": 1e9}),
    "NaN in the optimizer": lambda s: s["optimizer"]["state"][0]["exp_avg"].view(-1)[:1].fill_(float("nan")),
    "optimizer state that is text": lambda s: s["optimizer"]["state"][0].update({"exp_avg": "x"}),
    "optimizer state of another shape": lambda s: s["optimizer"]["state"][0].update(
        {"exp_avg": torch.zeros(2, 3)}
    ),
    "optimizer state of another parameter": lambda s: s["optimizer"]["state"].update(
        {0: s["optimizer"]["state"][1], 1: s["optimizer"]["state"][0]}
    ),
    "optimizer state of no parameter": lambda s: s["optimizer"]["state"].update({99: {}}),
    "no optimizer": lambda s: s.pop("optimizer"),
    "generator too short": lambda s: s.update({"generator": s["generator"][:100]}),
    "generator as numbers": lambda s: s.update({"generator": s["generator"].float()}),
    "no generator": lambda s: s.pop("generator"),
    "no device generator": lambda s: s.pop("device_generator"),
    "device generator as numbers": lambda s: s.update({"device_generator": torch.zeros(16)}),
    "no dataset": lambda s: s.pop("data"),
    "no first loss": lambda s: s.update({"first_loss": float("nan")}),
    "another run's config": lambda s: s.update({"config": "0" * 64}),
    "a later format": lambda s: s.update({"format": 99}),
    "history with a gap": lambda s: _rows(s, lambda rows: rows.pop(1)),
    "history longer than the run": lambda s: _rows(
        s, lambda rows: rows.extend({**rows[0], "epoch": n} for n in range(6, 20))
    ),
    "history that is no list": lambda s: s.update({"rows": "7"}),
    "history with NaN": lambda s: s.update({"rows": s["rows"].replace("0.", 'NaN, "x": 0.', 1)}),
    "history with text": lambda s: _rows(s, lambda rows: rows[0].update(val_acc="high")),
    "history with an infinite loss": lambda s: _rows(s, lambda rows: rows[0].update(val_loss=float("inf"))),
    "history without columns": lambda s: _rows(s, lambda rows: [row.pop("val_acc") for row in rows]),
    "history with another column": lambda s: _rows(s, lambda rows: [row.update(more=1.0) for row in rows]),
    "history of lists": lambda s: _rows(s, lambda rows: rows.__setitem__(0, [1])),
    "generator of 255s": lambda s: s["generator"].fill_(255),
    "generator of two dimensions": lambda s: s.update({"generator": s["generator"].view(2, -1)}),
    "sparse weight": lambda s: s["model"].update(
        {_first(s, "weight"): s["model"][_first(s, "weight")].to_sparse()}
    ),
    "weight without memory": lambda s: s["model"].update(
        {_first(s, "weight"): s["model"][_first(s, "weight")].to("meta")}
    ),
    "complex weight": lambda s: s["model"].update(
        {_first(s, "weight"): s["model"][_first(s, "weight")].to(torch.complex64)}
    ),
    "sparse optimizer state": lambda s: s["optimizer"]["state"][0].update(
        {"exp_avg": s["optimizer"]["state"][0]["exp_avg"].to_sparse()}
    ),
    "optimizer state without memory": lambda s: s["optimizer"]["state"][0].update(
        {"exp_avg": s["optimizer"]["state"][0]["exp_avg"].to("meta")}
    ),
    "optimizer without state": lambda s: s["optimizer"].update(state=[]),
    "a model that is a list": lambda s: s.update(model=[1]),
    "first loss as text": lambda s: s.update(first_loss="low"),
    "a learning rate that is a tensor": lambda s: s["optimizer"]["param_groups"][0].update(lr=torch.ones(3)),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_wrong_content_under_a_right_digest_is_refused(half: Half, what: str) -> None:
    state = _state(half.original[half.file])
    WRONG[what](state)
    with pytest.raises(CheckpointError):
        checkpoint.restore(half.training(), half.put(state))


FOREIGN: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 0.5, float("nan"), "x", "[]", '[{"epoch": true}]', "[" * 5000, b"x", 1j),
    *([], [1], {}, {"a": 1}, (1, 2), [[torch.zeros(2)]], torch.nn.Parameter(torch.zeros(3))),
    *(torch.zeros(0), torch.ones(3), torch.tensor(1.0), torch.zeros(1).expand(1000), torch.zeros(3).to_sparse()),
    *(torch.zeros(3, device="meta"), torch.zeros(4, dtype=torch.bfloat16), torch.full((5056,), 255).byte()),
)


def _places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys on the way to everything in a tree of dicts and lists."""
    if path:
        yield path
    for key, value in (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    ):
        yield from _places(value, (*path, key))


def _drawn_wrong(state: dict[str, Any], chance: random.Random) -> str:
    """Change one thing of a state: replace, rename or drop it, or give a tensor another form."""
    path = chance.choice(list(_places(state)))
    tree: Any = state
    for key in path[:-1]:
        tree = tree[key]
    old, how = tree[path[-1]], chance.choice(["replace", "drop", "rename", "reform"])
    if how == "reform" and isinstance(old, torch.Tensor):
        forms = [old.double(), old[None], old.flatten()[:0], old.to("meta"), old.float().requires_grad_()]
        tree[path[-1]] = chance.choice(forms)
    elif how == "drop":
        del tree[path[-1]]
    elif how == "rename" and isinstance(tree, dict):
        tree["other"] = tree.pop(path[-1])
    else:
        tree[path[-1]] = chance.choice(FOREIGN)
    return f"{how} {path}"


@pytest.mark.parametrize("count", [40, pytest.param(700, marks=pytest.mark.slow)])
def test_drawn_wrong_content_is_refused_or_trains_on(half: Half, count: int, figure: Figure, drawn: Drawn) -> None:
    chance, refused = drawn(25), 0
    for _ in range(count):
        state = _state(half.original[half.file])
        what, training = _drawn_wrong(state, chance), half.training()
        try:
            checkpoint.restore(training, half.put(state))
            next(training.run(lambda done, total: None, lambda: False))
        except OptilabError:
            refused += 1
        except Exception as error:
            raise AssertionError(what) from error
    figure("G4", f"{count} drawn changes under a right checksum", f"{refused} refused, 0 foreign exceptions")
    assert refused > count / 2


def test_a_checkpoint_of_another_epoch_is_refused(lab: Lab, half: Half) -> None:
    """The bytes of epoch 4 under the name of epoch 9, with the right digest."""
    half.mend()
    content = half.original[half.older]
    name = f"000009.{hashlib.sha256(content).hexdigest()[:16]}.ckpt"
    (half.path / "checkpoints" / name).write_bytes(content)
    training, warnings = half.training(), list[str]()
    checkpoint.resume(training, runs.Run(half.path, {}, None), warnings.append)
    half.mend()
    assert len(warnings) == 1
    assert training.epoch == half.newest


def test_optimizer_state_with_other_parts_than_the_rules_is_refused(half: Half) -> None:
    """As written by a version of optilab in which the rule used other names."""
    config = half.config.model_copy(update={"optimizer": RULES["barzilai-borwein"](), "epochs": 1})
    training = Training.start(config, half.dataset, torch.device("cpu"))
    list(training.run(lambda done, total: None, lambda: False))
    state = _state(checkpoint.save(training))
    slot = state["optimizer"]["state"][0]
    slot["step"] = slot.pop("last_step")
    with pytest.raises(CheckpointError, match="does not match this optimizer"):
        checkpoint.restore(Training.start(config, half.dataset, torch.device("cpu")), half.put(state))


# --- missing, misplaced, or of another run -----------------------------------------------------------------


def test_rows_without_their_checkpoints_are_not_wiped(lab: Lab) -> None:
    """The run does not start over. While no further epoch is requested, it is complete with the epochs it has."""
    lab.start("gone", "--epochs", "3").finish()
    path = lab.path("gone")
    for _, file in runs.checkpoints(path):
        file.unlink()
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    assert "already complete (3 epochs)" in lab.warm.run(["train", "--resume", "gone"], lab.folder).err
    done = lab.warm.run(["train", "--resume", "gone", "--epochs", "12"], lab.folder)
    assert done.code == 5, done
    assert "records 3 epochs but has no checkpoint" in done.err
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before
    assert (
        "--epochs 2 is below the 3 epochs"
        in lab.warm.run(["train", "--resume", "gone", "--epochs", "2"], lab.folder).err
    )


@pytest.mark.parametrize("damage", ["cut", "missing", "edited"])
def test_a_resume_of_a_complete_run_writes_its_rows_again(lab: Lab, damage: str) -> None:
    lab.start("rows", "--epochs", "3").finish()
    file = lab.path("rows") / "metrics.csv"
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-9] if damage == "cut" else whole.replace(b"\n3,", b"\n3,1"))
    done = lab.warm.run(["train", "--resume", "rows"], lab.folder)
    assert done.code == 0, done
    assert file.read_bytes() == whole
    assert "already complete" in lab.warm.run(["train", "--resume", "rows"], lab.folder).err


def test_an_early_stopped_run_is_complete_with_the_epochs_it_has(lab: Lab) -> None:
    stops = ["--set", "early_stopping={patience: 1, min_delta: 100.0}"]
    lab.start("early", *stops).finish()
    done = lab.warm.run(["train", "--resume", "early"], lab.folder)
    assert done.code == 0
    assert "already complete (2 epochs)" in done.err


def test_a_directory_in_the_place_of_a_checkpoint_is_named(lab: Lab) -> None:
    lab.start("folder", "--epochs", "3").finish()
    (_, newest), *_ = runs.checkpoints(lab.path("folder"))
    newest.unlink()
    newest.mkdir()
    done = lab.warm.run(["train", "--resume", "folder", "--epochs", "12"], lab.folder)
    assert done.code == 5, done
    assert f"{newest.name} is a directory in the place of a checkpoint; move it away" in done.err
    newest.rmdir()
    assert lab.warm.run(["train", "--resume", "folder", "--epochs", "12"], lab.folder).code == 0
    lab.compare("folder")


@pytest.mark.parametrize("epoch", ["000008", "0900000", "999999999999"])
def test_a_foreign_checkpoint_ahead_of_the_run_pushes_none_out(lab: Lab, epoch: str) -> None:
    """A damaged file with a higher epoch, or with any number, is neither resumed from nor counted."""
    name = f"ahead-{epoch}"
    lab.start(name, "--epochs", "5").finish()
    foreign = lab.path(name) / "checkpoints" / f"{epoch}.{'0' * 16}.ckpt"
    foreign.write_bytes(b"foreign")
    done = lab.warm.run(["train", "--resume", name, "--epochs", "6"], lab.folder)
    assert done.code == 0, done.err
    kept = [number for number, file in runs.checkpoints(lab.path(name)) if file != foreign]
    assert kept[:2] == [6, 5]
    assert foreign.exists()
    assert lab.warm.run(["train", "--resume", name, "--epochs", "12"], lab.folder).code == 0
    foreign.unlink(missing_ok=True)
    lab.compare(name)


def _another_dataset(lab: Lab) -> Path:
    folder = lab.folder / "other-data"
    if not folder.exists():
        shutil.copytree(lab.folder / "data", folder)
        images = bytearray((folder / NAMES[0]).read_bytes())
        images[-1] ^= 1
        (folder / NAMES[0]).write_bytes(images)
        write_sums(folder)
    return folder


def test_a_resume_on_another_dataset_is_refused(lab: Lab) -> None:
    """One pixel of one image differs; no file of the run changes."""
    lab.start("data", "--epochs", "3").finish()
    before = {file: file.read_bytes() for file in lab.path("data").rglob("*") if file.is_file()}
    argv = ["train", "--resume", "data", "--epochs", "12", "--data-dir", str(_another_dataset(lab))]
    done = lab.warm.run(argv, lab.folder)
    assert done.code == 4, done
    assert "data was trained on another dataset" in done.err
    assert f"{NAMES[0]}: SHA-256 " in done.err
    assert NAMES[1] not in done.err
    assert {file: file.read_bytes() for file in lab.path("data").rglob("*") if file.is_file()} == before


def test_a_checkpoint_of_a_run_on_another_dataset_is_refused(lab: Lab) -> None:
    """Same config, same shapes: only the digests in the checkpoint distinguish the two runs."""
    lab.start("mine", "--epochs", "3").finish()
    lab.start("theirs", "--epochs", "4", "--data-dir", str(_another_dataset(lab))).finish()
    (_, newest), *_ = runs.checkpoints(lab.path("theirs"))
    shutil.copy(newest, lab.path("mine") / "checkpoints")
    done = lab.warm.run(["train", "--resume", "mine", "--epochs", "12"], lab.folder)
    assert done.code == 4, done
    assert "a checkpoint comes from a run on another dataset" in done.err


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_pickle_payload_is_not_executed(lab: Lab, tmp_path: Path, form: str) -> None:
    """Also where an environment variable makes torch load everything."""
    import pickle

    lab.start("payload", "--epochs", "2").finish()
    canary, buffer = tmp_path / "canary", io.BytesIO()
    if form == "pickle":
        pickle.dump(_Payload(canary), buffer)
    else:
        torch.save(_Payload(canary), buffer, _use_new_zipfile_serialization=form == "zip")
    folder = lab.path("payload") / "checkpoints"
    for file in folder.iterdir():
        file.unlink()
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (folder / f"000002.{digest}.ckpt").write_bytes(buffer.getvalue())
    for env in ({}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}):
        done = lab.warm.run(["train", "--resume", "payload", "--epochs", "4"], lab.folder, env=env)
        assert done.code == 5, done
        assert not canary.exists()
        assert "weights_only" not in done.err
    lab.forget("payload")


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(half: Half) -> None:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(half.original[half.file])) as source,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.restore(half.training(), packed.getvalue())


def test_a_checkpoint_larger_than_any_of_this_run_is_not_read(half: Half) -> None:
    big = half.path / "checkpoints" / f"000005.{'0' * 16}.ckpt"
    with big.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="larger"):
        runs.read_checkpoint(big, checkpoint.size_limit(half.training()))
    big.unlink()


# --- the dataset -------------------------------------------------------------------------------------------


def _write(name: str, content: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content)


def _swap(first: str, second: str) -> Callable[[Path], Any]:
    def swap(folder: Path) -> None:
        one, two = (folder / first).read_bytes(), (folder / second).read_bytes()
        (folder / first).write_bytes(two)
        (folder / second).write_bytes(one)

    return swap


def _cut(name: str, length: int) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def _labels(value: int, count: int = 100) -> bytes:
    import numpy as np

    return idx_bytes(np.full(count, value, np.uint8))


# The digests are those of the damaged files: what is wrong is the structure.
STRUCTURES: dict[str, Callable[[Path], Any]] = {
    "empty images": _write(NAMES[0], b""),
    "truncated images": _cut(NAMES[0], 5000),
    "header only": _cut(NAMES[2], 16),
    "an HTML error page": _write(NAMES[1], b"<html><body>404 Not Found</body></html>"),
    "labels of training and test swapped": _swap(NAMES[1], NAMES[3]),
    "images and labels swapped": _swap(NAMES[2], NAMES[3]),
    "images of the wrong size": _write(NAMES[2], b"\0\0\x08\x03\0\0\0\x64\0\0\0\x0e\0\0\0\x0e" + bytes(19600)),
    "a size of four thousand million": _write(NAMES[1], b"\0\0\x08\x01\xff\xff\xff\xff" + bytes(200)),
    "labels that no output stands for": _write(NAMES[3], _labels(241)),
    "a missing file": lambda folder: (folder / NAMES[3]).unlink(),
}


@pytest.mark.parametrize("flips", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_dataset_is_refused(tmp_path: Path, figure: Figure, flips: int, drawn: Drawn) -> None:
    """A flipped byte anywhere in the four files (by its digest), and files of the wrong structure."""
    whole, chance, refused = write_idx_dataset(tmp_path / "whole"), drawn(5), 0
    for _ in range(flips):
        name = chance.choice(NAMES)
        content = bytearray((whole / name).read_bytes())
        position = chance.randrange(len(content))
        content[position] ^= chance.randrange(1, 256)
        before = (whole / name).read_bytes()
        (whole / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            data.load("idx", whole)
        (whole / name).write_bytes(before)
        refused += 1
    data.load("idx", whole)
    for what, damage in STRUCTURES.items():
        folder = tmp_path / what.replace(" ", "-")
        shutil.copytree(whole, folder)
        damage(folder)
        write_sums(folder)
        with pytest.raises(DataError, match=r"ubyte|SHA256SUMS"):
            data.load("idx", folder)
        refused += 1
    total = flips + len(STRUCTURES)
    figure("G5", f"{flips} flipped bytes and 10 wrong structures", f"{refused} of {total} refused")
    assert refused == total


# --- everything else in a run directory --------------------------------------------------------------------


def _edit(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def edit(path: Path) -> None:
        text = (path / name).read_text(encoding="utf-8")
        assert old in text
        (path / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


STATES: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    "F2 manifest empty": (_write("manifest.json", b""), 5, "manifest.json is damaged"),
    "F2 manifest a list": (_write("manifest.json", b"[]"), 5, "manifest.json is damaged"),
    "F2 manifest torn": (_write("manifest.json", b"{"), 5, "manifest.json is damaged"),
    "F2 manifest not UTF-8": (_write("manifest.json", b'{"a": "\xff"}'), 5, "manifest.json is damaged"),
    "F2 manifest missing": (lambda path: (path / "manifest.json").unlink(), 5, "manifest.json"),
    "F2 manifest without digests": (
        _edit("manifest.json", '"sha256"', '"sha1"'),
        5,
        "lacks the dataset's checksums",
    ),
    "F2 config missing": (lambda path: (path / "config.yaml").unlink(), 5, "config.yaml"),
    "F3 newer schema": (_edit("manifest.json", '"schema_version": 1', '"schema_version": 99'), 5, "99"),
    "F4 config edited": (_edit("config.yaml", "lr: 0.003", "lr: 0.004"), 4, "optimizer.lr: 0.003 -> 0.004"),
    "F4 config broken": (_edit("config.yaml", "threads: 1", "threads: many"), 4, "threads"),
}


@pytest.mark.parametrize("what", list(STATES))
def test_damaged_run_directory(lab: Lab, half: Half, what: str) -> None:
    damage, code, says = STATES[what]
    half.mend()
    damage(half.path)
    done = lab.warm.run(["train", "--resume", "half", "--epochs", "12"], lab.folder)
    listed = lab.warm.run(["runs", "ls"], lab.folder)
    half.mend()
    assert done.code == code, done
    assert says in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert listed.code == 0
    assert "reference" in listed.out  # the other runs are not hidden by it


def test_an_empty_directory_below_runs_is_skipped(lab: Lab) -> None:
    (lab.folder / "runs" / "nothing").mkdir()
    listed = lab.warm.run(["runs", "ls"], lab.folder)
    resumed = lab.warm.run(["train", "--resume", "nothing"], lab.folder)
    (lab.folder / "runs" / "nothing").rmdir()
    assert listed.code == 0
    assert "nothing" in listed.err
    assert resumed.code == 5


TABLES = {
    "torn": b"epoch,train_loss,train_acc,val_loss,val_acc\n1,0.5,0.",
    "garbage": b"epoch,train_loss,train_acc,val_loss,val_acc\n\xff\xfe\n\0\0,1\n",
    "NaN": b"epoch,train_loss,train_acc,val_loss,val_acc\n1,nan,0.1,nan,0.1\n",
    "a gap": b"epoch,train_loss,train_acc,val_loss,val_acc\n7,1.0,0.1,1.0,0.1\n",
    "epoch 10^9": b"epoch,train_loss,train_acc,val_loss,val_acc\n1000000000,1.0,0.1,1.0,0.1\n",
    "empty": b"",
    "no epoch": b"a,b\n1,2\n",
}


@pytest.mark.parametrize("what", list(TABLES))
def test_metrics_are_rebuilt_from_the_checkpoint(lab: Lab, what: str) -> None:
    """metrics.csv is derived: a resume rewrites it whatever it contains, and the reader does not crash."""
    name = f"table-{what.replace(' ', '-').replace('^', '')}"
    lab.start(name, "--epochs", "4").finish()
    (lab.path(name) / "metrics.csv").write_bytes(TABLES[what])
    shown = lab.warm.run(["runs", "show", name], lab.folder)
    assert shown.code in (0, 3), shown.err
    assert "Traceback" not in shown.err
    assert "a bug in optilab" not in shown.err
    assert lab.warm.run(["runs", "ls"], lab.folder).code == 0
    done = lab.warm.run(["train", "--resume", name, "--epochs", "12"], lab.folder)
    assert done.code == 0, done.err
    lab.compare(name)


def test_foreign_files_stay(lab: Lab) -> None:
    lab.start("foreign", "--epochs", "4").finish()
    folder = lab.path("foreign") / "checkpoints"
    for name in ("notes.txt", "model.pt"):
        (folder / name).write_text("mine", encoding="utf-8")
    done = lab.warm.run(["train", "--resume", "foreign", "--epochs", "12"], lab.folder)
    assert done.code == 0, done.err
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert (folder / "model.pt").exists()
