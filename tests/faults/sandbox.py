"""A dataset, a config, the undisturbed run of it, and what must be true of a run after its process died."""

import hashlib
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from optilab import runs
from tests.kit.command import environment, run
from tests.kit.processes import Process, start

CONFIG = """\
model: {hidden: [16], activation: relu}
data: {dataset: idx, dir: data, batch_size: 40}
optimizer: {name: adam, lr: 0.003}
threads: 1
"""
EPOCHS = 3
"""The fewest in which old checkpoints are deleted."""

_DOCUMENTED = re.compile(
    r"config\.yaml|manifest\.json|metrics\.csv|timings\.csv|diagnostics\.jsonl|run\.lock|optilab\.log"
    r"|checkpoints(/\d{6}\.[0-9a-f]{16}\.ckpt)?"
)
_TEMPORARY = re.compile(r"(checkpoints/)?\.[a-z0-9.]+\.tmp-[0-9a-f]{8}")


@dataclass(frozen=True)
class Survivors:
    """What a dead process left of a run."""

    claimed: int
    """The last epoch that it printed or wrote to metrics.csv."""
    durable: int
    """The newest whole checkpoint."""
    torn: list[str]
    """Checkpoints whose checksum is not the one in their name."""
    unknown: list[str]
    """Files that no page documents."""
    rows: bytes
    """metrics.csv."""


@dataclass
class Sandbox:
    """Runs of one config, in forked processes, which are compared with the undisturbed one."""

    folder: Path
    reference: dict[str, bytes] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / "runs" / name

    def argv(self, name: str, *more: str) -> list[str]:
        return ["train", "lab.yaml", "--epochs", str(EPOCHS), "--name", name, *more]

    def resume_argv(self, name: str, *more: str) -> list[str]:
        """Continue a run, or start it where none is left."""
        again = ["train", "--resume", name, "--epochs", str(EPOCHS), *more]
        return again if self.path(name).exists() else self.argv(name, *more)

    def start(self, name: str, *more: str, **options: Any) -> Process:
        return start(self.argv(name, *more), self.folder, **options)

    def train(self, name: str, *more: str, **options: Any) -> CompletedProcess[str]:
        return self.start(name, *more, **options).finish()

    def resume(self, name: str, *more: str, **options: Any) -> CompletedProcess[str]:
        return run(self.resume_argv(name, *more), self.folder, "forked", **options)

    def type(self, *argv: str, **variables: str) -> CompletedProcess[str]:
        """A command in this process."""
        return run(argv, self.folder, env=environment(**variables))

    def result(self, name: str) -> dict[str, bytes]:
        """The bytes that must not depend on what happened on the way."""
        path = self.path(name)
        files = [path / "metrics.csv", path / "diagnostics.jsonl", *(file for _, file in runs.checkpoints(path))]
        return {file.name: file.read_bytes() for file in files if file.is_file() and file.stat().st_size < 1 << 24}

    def remove(self, name: str) -> None:
        shutil.rmtree(self.path(name), ignore_errors=True)

    def remove_all(self) -> None:
        """Keep the reference and nothing else among the runs."""
        for path in (self.folder / "runs").iterdir():
            if path.name != "reference":
                path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)

    def survivors(self, name: str, printed: str) -> Survivors:
        path = self.path(name)
        told = [int(number) for number in re.findall(r"^ +(\d+)/.*s$", printed, re.MULTILINE)]
        if not path.exists():
            return Survivors(max(told, default=0), 0, [], [], b"")
        runs.read(path)  # raises if manifest or config are not whole
        table = (path / "metrics.csv").read_bytes() if (path / "metrics.csv").exists() else b""
        checkpoints = runs.checkpoints(path)
        whole = [epoch for epoch, file in checkpoints if _is_whole(file)]
        names = [str(file.relative_to(path)) for file in path.rglob("*")]
        return Survivors(
            claimed=max([*told, table.count(b"\n") - 1, 0]),
            durable=max(whole, default=0),
            torn=[file.name for _, file in checkpoints if not _is_whole(file)],
            unknown=[name for name in names if not _DOCUMENTED.fullmatch(name) and not _TEMPORARY.fullmatch(name)],
            rows=table,
        )

    def check_survivors(self, name: str, printed: str) -> Survivors:
        """Nothing that was claimed is lost, and nothing under a final name is half written."""
        left = self.survivors(name, printed)
        assert left.claimed <= left.durable, left
        assert not left.torn, left
        assert not left.unknown, left
        assert self.reference["metrics.csv"].startswith(left.rows), left
        return left

    def recover(self, name: str) -> None:
        """Continue a run, or start it where none is left: it ends as the undisturbed one."""
        done = self.resume(name)
        assert done.returncode == 0, done
        assert "damaged" not in done.stderr, done
        self.compare(name)

    def compare(self, name: str) -> None:
        """The run has the reference's bytes and no file that is not documented."""
        path, result = self.path(name), self.result(name)
        assert result.keys() == self.reference.keys(), "not the files of the undisturbed run"
        different = [file for file, data in self.reference.items() if result[file] != data]
        assert not different, f"not those of the undisturbed run: {different}"
        names = [str(file.relative_to(path)) for file in path.rglob("*")]
        assert not [name for name in names if not _DOCUMENTED.fullmatch(name)]
        assert runs.read(path).state == "done"


def study_files(study: Path) -> dict[str, bytes]:
    """All that is deterministic in a study and in its confirmation."""
    names = (
        "plan.jsonl",
        "trials.csv",
        "study.yaml",
        "metrics.csv",
        "diagnostics.jsonl",
        "config.yaml",
        "checkpoints/*",
    )
    return {str(file.relative_to(study)): file.read_bytes() for name in names for file in study.rglob(name)}


def _is_whole(file: Path) -> bool:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] == file.name.split(".")[1]
