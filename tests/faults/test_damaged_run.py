"""A damaged run is mended, resumed from what is whole, or refused; it never goes on with wrong numbers."""

import hashlib
import io
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optilab import runs
from optilab.config.load import load
from optilab.config.training import TrainConfig
from optilab.config.tree import Override
from optilab.data import read as data
from optilab.errors import CheckpointError, ExitCode
from optilab.train import checkpoint, trees
from optilab.train.engine import Training
from tests.faults.damage import DAMAGES, Damage
from tests.faults.sandbox import EPOCHS, Sandbox
from tests.kit.command import without_loading_notice
from tests.kit.idx import NAMES, write_sums
from tests.kit.sets import few_or_many

FEW_OR_MANY = few_or_many(40, 1000)
REFUSED = {ExitCode.DATA, ExitCode.RUN, ExitCode.CHECKPOINT, ExitCode.SYSTEM}


@pytest.fixture
def half(sandbox: Sandbox) -> Path:
    """A run with two of its three epochs."""
    assert sandbox.train("half", "--epochs", "2").returncode == 0
    return sandbox.path("half")


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run but for its lock, of those that can be read."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size < 1 << 24]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name != "run.lock"}


# --- damaged files -----------------------------------------------------------------------------------------

FILES = ("manifest.json", "config.yaml", "metrics.csv", "timings.csv", "diagnostics.jsonl", "newest", "older")


def place(run: Path, file: str) -> Path:
    newest, older = [checkpoint for _, checkpoint in runs.checkpoints(run)][:2]
    return {"newest": newest, "older": older}.get(file, run / file)


@FEW_OR_MANY
def test_a_damaged_file_is_mended_or_refused(examples: int, sandbox: Sandbox, half: Path) -> None:
    @settings(max_examples=examples)
    @given(file=st.sampled_from(FILES), damage=DAMAGES, complete=st.booleans())
    def check(file: str, damage: Damage, complete: bool) -> None:
        sandbox.remove("damaged")
        run = Path(shutil.copytree(sandbox.path("reference") if complete else half, sandbox.path("damaged")))
        damaged = place(run, file)
        damage(damaged)
        before = contents(run)
        done = sandbox.type(*sandbox.resume_argv("damaged"))
        assert "Traceback" not in done.stderr
        if done.returncode == 0:
            result = sandbox.result("damaged")
            wrong = {name for name, data in sandbox.reference.items() if result.get(name) != data}
            assert wrong <= ({damaged.name} if complete or file == "diagnostics.jsonl" else set()), done
        else:
            assert done.returncode in REFUSED, done
            assert done.returncode == ExitCode.SYSTEM or contents(run) == before
        listed = sandbox.type("runs", "ls")
        assert listed.returncode == 0, listed
        assert "reference" in listed.stdout
        assert sandbox.type("runs", "show", "damaged").returncode in {0, *REFUSED}

    check()


def test_negative_control_no_checksum(sandbox: Sandbox, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not compared, most flipped bits of a checkpoint are trained on."""
    monkeypatch.setattr(runs, "read_checkpoint", lambda path, limit: path.read_bytes())
    silent = 0
    for where in range(10**5, 2 * 10**5, 10**4):
        sandbox.remove("damaged")
        run = Path(shutil.copytree(half, sandbox.path("damaged")))
        Damage("a flipped bit", where)(place(run, "newest"))
        done = sandbox.type(*sandbox.resume_argv("damaged"))
        silent += done.returncode == 0 and not without_loading_notice(done.stderr)
    assert silent > 5


# --- whole by its checksum, and wrong ----------------------------------------------------------------------


@pytest.fixture
def begun(sandbox: Sandbox) -> Callable[[], Training]:
    """Makes a training of the sandbox's config that can be restored to a state."""
    folder = sandbox.folder / "data"
    epochs, where = Override("", "epochs", EPOCHS), Override("", "data.dir", str(folder))
    config, dataset = (
        load(TrainConfig, str(sandbox.folder / "lab.yaml"), [epochs, where]),
        data.load("idx", folder),
    )
    return lambda: Training.start(config, dataset, torch.device("cpu"))


def state_of(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = trees.from_bytes(place(run, "newest").read_bytes())
    return state


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "weights of another network": lambda s: s["model"].popitem(),
    "another optimizer": lambda s: s["optimizer"]["param_groups"].append({}),
    "a generator of 255s": lambda s: s["generator"].fill_(255),
    "another run's config": lambda s: s.update(config="0" * 64),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_content_is_refused(what: str, half: Path, begun: Callable[[], Training]) -> None:
    state = state_of(half)
    WRONG[what](state)
    with pytest.raises(CheckpointError):
        checkpoint.restore(begun(), trees.to_bytes(state))


# --- states of a run directory -----------------------------------------------------------------------------


def edit(name: str, old: str, new: str) -> Callable[[Path], Any]:
    def change(run: Path) -> None:
        text = (run / name).read_text(encoding="utf-8")
        assert old in text
        (run / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def put(run: Path, content: bytes, epoch: int = EPOCHS) -> None:
    """A file with the name that a checkpoint of this content has."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    (run / "checkpoints" / f"{epoch:06d}.{digest}.ckpt").write_bytes(content)


def without_checkpoints(run: Path) -> None:
    for file in (run / "checkpoints").iterdir():
        file.unlink()


def later(run: Path) -> None:
    put(run, place(run, "newest").read_bytes().replace(b'format\\": 3', b'format\\": 4'))


def of_another_dataset(run: Path) -> None:
    state = state_of(run)
    state["data"] = dict.fromkeys(state["data"], "0" * 64)
    put(run, trees.to_bytes(state))


STATES: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    "no checkpoint": (without_checkpoints, 5, "records 2 epochs but has no checkpoint"),
    "content of another epoch": (lambda run: put(run, place(run, "older").read_bytes()), 0, "it holds epoch 1"),
    "checkpoint of a later version": (later, 0, "it has format 4, and this version reads 3"),
    "checkpoint of another dataset": (of_another_dataset, 4, "comes from a run on another dataset"),
    "no checksums": (edit("manifest.json", '"sha256"', '"sha1"'), 5, "lacks the dataset's checksums"),
    "earlier schema": (
        edit("manifest.json", '"schema_version": 3', '"schema_version": 2'),
        5,
        "expected schema 3, got 2",
    ),
    "later schema": (
        edit("manifest.json", '"schema_version": 3', '"schema_version": 99'),
        5,
        "expected schema 3, got 99",
    ),
    "edited config": (edit("config.yaml", "lr: 0.003", "lr: 0.004"), 4, "optimizer.lr: 0.003 -> 0.004"),
    "broken config": (edit("config.yaml", "threads: 1", "threads: many"), 4, "threads"),
}


@pytest.mark.parametrize("what", STATES)
def test_state_of_a_run_is_recognized(what: str, sandbox: Sandbox, half: Path) -> None:
    damage, code, says = STATES[what]
    damage(half)
    (half / "checkpoints" / "notes.txt").write_text("mine", encoding="utf-8")
    before = contents(half)
    done = sandbox.type(*sandbox.resume_argv("half"))
    assert done.returncode == code, done
    assert says in done.stderr
    assert code == 0 or contents(half) == before
    assert code or sandbox.reference.items() <= sandbox.result("half").items()
    assert (half / "checkpoints" / "notes.txt").read_text(encoding="utf-8") == "mine"


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_pickle_payload_is_not_executed(sandbox: Sandbox, half: Path, tmp_path: Path, form: str) -> None:
    """Also where an environment variable makes torch load everything."""
    buffer, canary = io.BytesIO(), tmp_path / "canary"
    if form == "pickle":
        pickle.dump(Payload(canary), buffer)
    else:
        torch.save(Payload(canary), buffer, _use_new_zipfile_serialization=form == "zip")
    without_checkpoints(half)
    put(half, buffer.getvalue())
    for env in ({}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}):
        done = sandbox.type(*sandbox.resume_argv("half"), **env)
        assert done.returncode == ExitCode.CHECKPOINT, done
        assert not canary.exists()
        assert "weights_only" not in done.stderr


def test_data_that_changed_are_refused(sandbox: Sandbox, half: Path, tmp_path: Path) -> None:
    """The same data elsewhere are accepted."""
    for name in ("same", "changed"):
        shutil.copytree(sandbox.folder / "data", tmp_path / name)
    images = bytearray((tmp_path / "changed" / NAMES[0]).read_bytes())
    images[-1] ^= 1
    (tmp_path / "changed" / NAMES[0]).write_bytes(images)
    write_sums(tmp_path / "changed")
    before = contents(half)
    refused = sandbox.type(*sandbox.resume_argv("half", "--data-dir", str(tmp_path / "changed")))
    assert refused.returncode == ExitCode.RUN, refused
    assert f"other SHA-256 of {NAMES[0]};" in refused.stderr
    assert NAMES[1] not in refused.stderr
    assert contents(half) == before
    assert sandbox.type(*sandbox.resume_argv("half", "--data-dir", str(tmp_path / "same"))).returncode == 0
    sandbox.compare("half")
