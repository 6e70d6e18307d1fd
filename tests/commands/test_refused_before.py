"""Problems of files of studies and claims have their line, and a study's file is read through no link."""

import pytest

from optilab import runs


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("  optimizer.lr: [[], {}]", "s.yaml:4: optimizer.lr: expected a number > 0, got []"),
        ("  optimizer.lr: '1:2:5:log:extra'", "s.yaml:4: optimizer.lr: expected KEY=LOW:HIGH"),
        ("  seed: [1, 2]", "s.yaml:4: seed: not an axis"),
    ],
)
def test_a_problem_of_a_study_file_has_its_line(over, message, optilab, tmp_path):
    (tmp_path / "s.yaml").write_text(f"config: relu.yaml\nover:\n  data.batch_size: [8]\n{over}\n")
    refused = optilab("sweep", "--study", "s.yaml", "--dry-run", code=2).stderr
    assert message in refused
    assert "--over" not in refused


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("optimize: {algoo: adam}\n  expect: [f < 1]", "c.yaml:3: algoo: unknown key"),
        (
            "train:\n    optimizer: sgd\n    model: {x: 1}\n  expect: [val_acc > 0]",
            "c.yaml:5: model.x: unknown key",
        ),
        ("train: relu.yaml\n  set:\n    nokey: 3\n  expect: [val_acc > 0]", "c.yaml:5: nokey: unknown key"),
        (
            "sweep: {config: relu, over: {optimizer.lr: [[]]}}\n  expect: [val_acc > 0]",
            "c.yaml:3: optimizer.lr: expected a number",
        ),
        (
            "train: relu.yaml\n  expect: ['nobody: val_acc > 0']",
            "c.yaml:3: the claim 'nobody: val_acc > 0' can never",
        ),
    ],
)
def test_a_problem_of_a_file_of_claims_has_its_line(entry, message, optilab, tmp_path):
    (tmp_path / "c.yaml").write_text(f"checks:\n- name: one\n  {entry}\n")
    assert message in optilab("check", "c.yaml", code=2).stdout


def test_a_link_in_the_place_of_a_studys_file_is_not_followed(optilab, small, tmp_path):
    sweep = ["--over", "optimizer.lr=0.1,1", "--seeds", 2, "--epochs", 1]
    optilab("sweep", small, *sweep, "--quiet", "--name", "s")
    study = tmp_path / "runs" / "s"
    before = (study / runs.STUDY_FILE).read_bytes()
    (study / runs.STUDY_FILE).write_bytes(before.replace(b"epochs: 1", b"epochs: 2"))
    readers = (["runs", "compare", "s"], ["report", "s"], ["runs", "export", "s", "--out", "rows.csv"])
    for command in (["check", "s", "--expect", "val_acc >= 0"], ["sweep", "--resume", "s"], *readers):
        done = optilab(*command, code=4)
        assert "study.yaml was edited since the study was started" in done.stdout + done.stderr
    (study / runs.STUDY_FILE).unlink()
    for command in (["check", "s"], ["runs", "show", "s"], ["sweep", "--resume", "s"], ["runs", "compare", "s"]):
        done = optilab(*command, code=5)
        assert "study.yaml is missing" in done.stdout + done.stderr
    (study / runs.STUDY_FILE).symlink_to("/etc/passwd")
    for command in (["check", "s"], ["runs", "show", "s"], ["sweep", "--resume", "s"], ["report", "s"]):
        done = optilab(*command, code=5)
        assert "study.yaml is a link" in done.stdout + done.stderr
        assert "root:" not in done.stdout + done.stderr
    (study / runs.STUDY_FILE).unlink()
    (study / runs.STUDY_FILE).write_bytes(before)
    plan = (study / runs.PLAN).read_text()
    for key in ("settings", "seed", "digest"):
        (study / runs.PLAN).write_text(
            plan[: -len(plan) // 4] + plan[-len(plan) // 4 :].replace(f'"{key}"', '"?"')
        )
        for command in (["runs", "ls", "s"], ["runs", "show", "s"], ["check", "s"], ["runs", "compare", "s"]):
            done = optilab(*command, code=3)
            assert f"runs/s/plan.jsonl:4: expected the {key} of a trial, got nothing" in done.stdout + done.stderr
        optilab("sweep", "--resume", "s", "--quiet")
        assert (study / runs.PLAN).read_text() == plan
    manifest = (study / "manifest.json").read_text()
    (study / "manifest.json").write_text(manifest.replace('"schema_version": 3', '"schema_version": 2'))
    for command in (["check", "s"], ["runs", "show", "s"], ["sweep", "--resume", "s"], ["runs", "compare", "s"]):
        done = optilab(*command, code=5)
        assert "runs/s/manifest.json: expected schema 3, got 2\n" in done.stdout + done.stderr
    (study / "manifest.json").write_text(manifest)
    (study / runs.PLAN).unlink()
    assert "runs/s/plan.jsonl: expected 4 trials, got 0" in optilab("runs", "ls", "s", code=3).stderr
    optilab("sweep", "--resume", "s", "--quiet")
    assert "1 claim: 1 holds" not in optilab("check", "s", "--expect", "lr 1: val_acc > 0.9999", code=9).stdout
    study.rename(study.with_name("é2"))
    assert "4 claims" not in optilab("check", "é2", "--expect", "val_acc >= 0").stdout
    (trial, *_) = (path.name for path in (tmp_path / "runs" / "é2").iterdir() if path.is_dir())
    assert optilab("runs", "path", f"é2/{trial}").stdout == f"runs/é2/{trial}\n"
    refused = optilab("sweep", "--resume", "é2", code=2).stderr
    assert "--resume: expected 1 to 64 letters" in refused
