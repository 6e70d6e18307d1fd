"""What the fault tests share: a sandbox with one undisturbed run, and a generator of random numbers."""

import random
from collections.abc import Iterator

import pytest

from tests.faults.sandbox import CONFIG, Sandbox
from tests.kit.idx import write_idx_dataset


@pytest.fixture(scope="session")
def undisturbed_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    folder = tmp_path_factory.mktemp("sandbox")
    write_idx_dataset(folder / "data", 240, 100)
    (folder / "lab.yaml").write_text(CONFIG, encoding="utf-8")
    made = Sandbox(folder)
    assert made.train("reference").returncode == 0
    made.reference = made.result("reference")
    return made


@pytest.fixture
def sandbox(undisturbed_sandbox: Sandbox) -> Iterator[Sandbox]:
    """A dataset, a config and its undisturbed run of 3 epochs; what a test adds is removed afterwards."""
    yield undisturbed_sandbox
    undisturbed_sandbox.remove_all()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """A generator of random numbers, whose seed is the name of the test."""
    return random.Random(request.node.nodeid)
