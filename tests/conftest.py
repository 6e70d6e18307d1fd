"""What the tests share: the command as a user types it."""

import os
import subprocess
import sys

import pytest

from tests.train.idx import write_idx_dataset


@pytest.fixture(autouse=True)
def float32_afterwards():
    """A training in float64 makes that torch's default."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def optilab(tmp_path):
    """Run `optilab ARGUMENTS` as a process in an empty directory; stdout and stderr as text."""

    def run(*arguments, cwd=tmp_path, code=0, **environment):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OPTILAB_RUNS")}
        done = subprocess.run(
            [sys.executable, "-m", "optilab", *map(str, arguments)],
            cwd=cwd,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small dataset in the real format, and a config that trains on it in no time."""
    folder = write_idx_dataset(tmp_path_factory.mktemp("data"))
    config = folder / "small.yaml"
    config.write_text(
        f"model: {{hidden: [16, 16]}}\ndata: {{dataset: idx, dir: {folder}, batch_size: 32}}\n"
        "optimizer: {name: sgd, lr: 0.1}\nepochs: 3\nthreads: 1\ndevice: cpu\n"
    )
    return config
