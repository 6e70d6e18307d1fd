"""A damaged run is mended, resumed from what is whole, or refused; it never goes on with wrong numbers."""

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
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
from optilab.errors import CheckpointError, ExitCode, OptilabError
from optilab.train import checkpoint
from optilab.train.engine import Training
from tests.data.idx import NAMES, write_sums
from tests.faults.damage import DAMAGES, Damage
from tests.faults.sandbox import EPOCHS, Sandbox
from tests.processes import without_loading_notice

FEW_OR_MANY = pytest.mark.parametrize("examples", [40, pytest.param(1000, marks=pytest.mark.release)])
REFUSED = {ExitCode.DATA, ExitCode.RUN, ExitCode.CHECKPOINT, ExitCode.SYSTEM}


@pytest.fixture
def half(sandbox: Sandbox) -> Path:
    """A run with two of its three epochs."""
    assert sandbox.train("half", "--epochs", "2").code == 0
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
    state: dict[str, Any] = torch.load(place(run, "newest"), weights_only=True)
    return state


def packed(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def weight(state: dict[str, Any]) -> Any:
    return next(value for name, value in state["model"].items() if name.endswith("weight"))


def history(state: dict[str, Any], change: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = json.loads(state["rows"])
    change(rows)
    state["rows"] = json.dumps(rows)


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "NaN weight": lambda s: weight(s).view(-1)[:1].fill_(float("nan")),
    "infinite velocity": lambda s: s["optimizer"]["state"][0]["exp_avg"].view(-1)[:1].fill_(float("inf")),
    "another learning rate": lambda s: s["optimizer"]["param_groups"][0].update(lr=1e9),
    "state of another parameter": lambda s: s["optimizer"]["state"].update({0: s["optimizer"]["state"][1]}),
    "a generator of 255s": lambda s: s["generator"].fill_(255),
    "another run's config": lambda s: s.update(config="0" * 64),
    "a later format": lambda s: s.update(format=99),
    "history with a gap": lambda s: history(s, lambda rows: rows.pop(0)),
    "history longer than the run": lambda s: history(
        s, lambda rows: rows.extend({**rows[0], "epoch": n} for n in (3, 4))
    ),
    "history that is infinite": lambda s: history(s, lambda rows: rows[0].update(val_loss=float("inf"))),
    "history without a column": lambda s: history(s, lambda rows: [row.pop("val_acc") for row in rows]),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_content_is_refused(what: str, half: Path, begun: Callable[[], Training]) -> None:
    state = state_of(half)
    WRONG[what](state)
    with pytest.raises(CheckpointError):
        checkpoint.restore(begun(), packed(state))


FOREIGN: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**30, 0.5, float("nan"), "x", "[]", '[{"epoch": true}]', "[" * 5000, b"x", 1j),
    *([], [1], {}, {"a": 1}, (1, 2), [[torch.zeros(2)]], torch.nn.Parameter(torch.zeros(3))),
    *(torch.zeros(0), torch.ones(3), torch.tensor(1.0), torch.zeros(1).expand(1000), torch.zeros(3).to_sparse()),
    *(torch.zeros(3, device="meta"), torch.zeros(4, dtype=torch.bfloat16), torch.full((5056,), 255).byte()),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys on the way to everything in a tree of dicts and lists."""
    if path:
        yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def reformed(old: Any, number: int) -> Any:
    """A tensor in another form; something else in the place of anything else."""
    if not isinstance(old, torch.Tensor):
        return FOREIGN[number]
    return (old.double(), old[None], old.flatten()[:0], old.to("meta"), old.float().requires_grad_())[number % 5]


def after_another_epoch(training: Training) -> bytes:
    next(training.run(lambda done, total: None, lambda: False))
    return checkpoint.save(training)


@FEW_OR_MANY
def test_drawn_content_is_refused_or_changes_nothing(
    examples: int, half: Path, begun: Callable[[], Training]
) -> None:
    """One thing of a state is replaced, renamed, dropped or given another form."""
    undisturbed = begun()
    checkpoint.restore(undisturbed, packed(state_of(half)))
    expected, refused = after_another_epoch(undisturbed), 0

    @settings(max_examples=examples)
    @given(
        where=st.sampled_from([*places(state_of(half))]),
        how=st.sampled_from(("replace", "drop", "rename", "reform")),
        number=st.integers(0, len(FOREIGN) - 1),
    )
    def check(where: tuple[Any, ...], how: str, number: int) -> None:
        nonlocal refused
        state, training = state_of(half), begun()
        tree: Any = state
        for key in where[:-1]:
            tree = tree[key]
        old = tree.pop(where[-1]) if isinstance(tree, dict) else tree[where[-1]]
        if how != "drop":
            key = "other" if how == "rename" and isinstance(tree, dict) else where[-1]
            tree[key] = {"replace": FOREIGN[number], "reform": reformed(old, number)}.get(how, old)
        try:
            checkpoint.restore(training, packed(state))
            assert training.epoch != 2 or after_another_epoch(training) == expected or where == ("first_loss",)
        except OptilabError:
            refused += 1

    check()
    assert refused > examples / 2


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


def compressed(run: Path) -> None:
    buffer = io.BytesIO()
    source = zipfile.ZipFile(place(run, "newest"))
    with source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    put(run, buffer.getvalue())


def of_another_dataset(run: Path) -> None:
    state = state_of(run)
    state["data"] = dict.fromkeys(state["data"], "0" * 64)
    put(run, packed(state))


STATES: dict[str, tuple[Callable[[Path], Any], int, str]] = {
    "no checkpoint": (without_checkpoints, 5, "records 2 epochs but has no checkpoint"),
    "content of another epoch": (lambda run: put(run, place(run, "older").read_bytes()), 0, "it holds epoch 1"),
    "compressed checkpoint": (compressed, 0, "compressed"),
    "checkpoint of another dataset": (of_another_dataset, 4, "comes from a run on another dataset"),
    "no checksums": (edit("manifest.json", '"sha256"', '"sha1"'), 5, "lacks the dataset's checksums"),
    "newer schema": (edit("manifest.json", '"schema_version": 2', '"schema_version": 99'), 5, "99"),
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
    assert f"{NAMES[0]}: SHA-256 " in refused.stderr
    assert NAMES[1] not in refused.stderr
    assert contents(half) == before
    assert sandbox.type(*sandbox.resume_argv("half", "--data-dir", str(tmp_path / "same"))).returncode == 0
    sandbox.compare("half")
