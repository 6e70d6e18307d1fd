"""A run has one dataset, wherever it is stored (G22). Foreign checkpoints are among the damage of test_damage.py."""

import shutil
from pathlib import Path

from tests.data.idx import NAMES, write_sums
from tests.faults.conftest import Figure
from tests.faults.harness import Lab


def _regenerate(folder: Path) -> None:
    """The dataset as a script that drew other numbers would write it: the same shapes, valid digests."""
    images = bytearray((folder / NAMES[0]).read_bytes())
    images[-1] ^= 1
    (folder / NAMES[0]).write_bytes(images)
    write_sums(folder)


def test_data_that_was_regenerated_in_place_is_refused_and_the_same_data_elsewhere_is_not(
    lab: Lab, figure: Figure, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        shutil.copytree(lab.folder / "data", folder)
    assert lab.start("moved", "--epochs", "3", "--data-dir", str(first)).finish().code == 0
    _regenerate(first)
    resume = ["train", "--resume", "moved", "--epochs", str(lab.epochs)]
    before = {file: file.read_bytes() for file in lab.path("moved").rglob("*") if file.is_file()}
    refused = lab.warm.run(resume, lab.folder)
    assert refused.code == 4, refused
    assert NAMES[0] in refused.err
    assert {file: file.read_bytes() for file in lab.path("moved").rglob("*") if file.is_file()} == before
    accepted = lab.warm.run([*resume, "--data-dir", str(second)], lab.folder)
    assert accepted.code == 0, accepted
    lab.compare("moved")
    figure("G22", "resume on regenerated data; on the same data elsewhere", "refused; identical")
