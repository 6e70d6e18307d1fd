"""Disks that are full, read-only or limited, by a tmpfs of their own."""

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from optilab.errors import ExitCode
from tests.faults.sandbox import EPOCHS, Sandbox
from tests.kit.command import OPTILAB, environment, need, without_loading_notice

REMOUNT = "mount --options-mode ignore -o remount"
"""Without the options it was mounted with: its owner's number has no meaning in a user's own namespace."""
SIZES = (4, 8, 16, 32, 100, 300, 320, 330, 470, 480, 496)  # KiB, of the 500 or so that a run needs
PYTHON = " ".join(OPTILAB)


def in_namespace(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell with mounts of its own, which end with it."""
    command = ["unshare", "-rm", "sh", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.nightly
@pytest.mark.parametrize("size", SIZES)
def test_a_full_disk(size: int, sandbox: Sandbox, tmp_path: Path) -> None:
    """Exit status 7 with the bytes that are missing; with space again, the run ends as the undisturbed one."""
    need("unshare")
    disk, line = tmp_path / "mnt", f"train lab.yaml --epochs {EPOCHS} --runs-dir {tmp_path}/mnt --name full"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size={size}k none {disk} || exit 99
        {PYTHON} {line} >{tmp_path}/out 2>{tmp_path}/err; echo $? >{tmp_path}/code
        cp -r {disk} {tmp_path}/before
        {REMOUNT},size=64m {disk}
        if [ -d {disk}/full ]; then {PYTHON} train --resume full --runs-dir {disk}; else {PYTHON} {line}; fi || exit 98
        cp -r {disk}/full {sandbox.path("after")}
    """
    done = in_namespace(script, sandbox.folder)
    assert done.returncode == 0, done
    error = without_loading_notice((tmp_path / "err").read_text(encoding="utf-8"))
    assert (tmp_path / "code").read_text(encoding="utf-8").strip() == "7", error
    for part in ("No space left on device", "needs", "bytes", str(disk)):
        assert part in error
    assert error.count("\n") == 1, error
    assert not list((tmp_path / "before").rglob("*.tmp-*"))
    sandbox.compare("after")
    sandbox.remove("after")
    if (tmp_path / "before" / "full").exists():
        shutil.move(tmp_path / "before" / "full", sandbox.path("before"))
    sandbox.check_survivors("before", (tmp_path / "out").read_text(encoding="utf-8"))


@pytest.mark.nightly
def test_a_read_only_disk(sandbox: Sandbox, tmp_path: Path) -> None:
    """Refused before any training, naming the place; what is there can be read."""
    need("unshare")
    script = f"""
        mount -t tmpfs none {tmp_path} && cp -r runs/reference {tmp_path} && {REMOUNT},ro {tmp_path} || exit 99
        {PYTHON} {" ".join(sandbox.argv("x"))} --runs-dir {tmp_path}; test $? = 7 || exit 98
        {PYTHON} optimize adam --runs-dir {tmp_path} >/dev/null; test $? = 7 || exit 97
        {PYTHON} train --resume reference --epochs 14 --runs-dir {tmp_path}; test $? = 7 || exit 96
        {PYTHON} runs ls --runs-dir {tmp_path} && {PYTHON} runs show reference --runs-dir {tmp_path}
    """
    done = in_namespace(script, sandbox.folder)
    assert done.returncode == 0, done
    assert done.stderr.count("Read-only file system") == 3
    assert done.stderr.count(str(tmp_path)) >= 3
    assert " 1/14" not in done.stdout
    assert "done" in done.stdout


def test_a_limit_of_the_file_size(sandbox: Sandbox) -> None:
    """EFBIG, as ENOSPC: the checkpoint is not claimed, nothing half written stays."""
    limits = (100 << 10, resource.RLIM_INFINITY)
    done = sandbox.train("limited", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits))
    assert done.returncode == ExitCode.SYSTEM
    assert "File too large" in done.stderr
    assert sandbox.check_survivors("limited", done.stdout).durable == 0
    sandbox.recover("limited")
