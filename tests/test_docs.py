"""The pages of docs/: their commands run, and their links lead somewhere."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml

from optilab.data import fetch
from tests.kit.command import environment, need, restored
from tests.kit.pages import (
    PAGES,
    ROOT,
    TUTORIALS,
    answer,
    difference,
    files,
    outputs,
    printed,
    scripts,
    session,
    write_files,
)
from tests.kit.processes import SECONDS

DOCS = [page for page in PAGES if page.parent == ROOT / "docs"]
LONG = (
    "--halving 3 --epochs 3",
    "--over optimizer=sgd,adam --over optimizer.lr=1e-3,1e-2",
    "optilab grade '*.py:Adam'",
)
"""Commands of pages that work for ten seconds and more; what they do is tested elsewhere, on less."""

FEWER = {
    r"optilab train (--config )?\S+\.yaml\b(?!.*(data\.|--expect))": " --set data.images=2000",
    r"optilab lr relu\.yaml": " --steps 300",
}
"""What a command that begins so gets here besides, so that it is done in a second."""


def _marks(command):
    return [pytest.mark.release] if any(text in command for text in LONG) else []


BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}: {block.splitlines()[0]}", marks=_marks(block))
    for page in DOCS
    if page not in TUTORIALS
    for block in scripts(page)
]
OUTPUTS = [
    pytest.param(page, command, shown, id=f"{page.stem}: {command}", marks=_marks(command))
    for page in PAGES
    if page not in TUTORIALS
    for command, shown in outputs(page)
]


SHOWN_ALONE = {"compare": 1, "learning-rate": 2, "runs": 1, "vanishing-gradient": 2}
"""How many outputs each page shows that nothing compares: of minutes, or of another machine."""


def test_outputs_that_nothing_compares_are_counted():
    """Those of documents.md are generated."""
    blocks = [page.stem for page in DOCS for _ in re.findall(r"^```text\n\$ ", page.read_text(), re.MULTILINE)]
    assert {page: blocks.count(page) for page in blocks if page != "documents"} == SHOWN_ALONE


def test_each_table_of_measurements_names_its_program():
    text = (ROOT / "docs" / "measured.md").read_text()
    tables = re.findall(r"^<!-- ([\w-]+) -->\n(.*?)(?=^<!--|\Z)", text, flags=re.DOTALL | re.MULTILINE)
    assert len(tables) >= 14
    for name, table in tables:
        program = re.search(r"^\*([\w/]+), 20\d\d-\d\d-\d\d, commit \w+, ", table, flags=re.MULTILINE)
        assert program, name
        assert [*ROOT.glob(program[1]), *ROOT.glob(f"docs/measured/{program[1]}*")], name


def test_every_command_that_is_treated_otherwise_is_on_a_page():
    commands = [line for page in PAGES for line in (*"\n".join(scripts(page)).splitlines(), *dict(outputs(page)))]
    assert [text for text in LONG if not any(text in command for command in commands)] == []
    assert [start for start in FEWER if not any(re.match(start, command) for command in commands)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_row_belongs_to_a_table(page):
    """A table ends at a blank line."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"(?:^\|.*\n)+", prose, flags=re.MULTILINE):
        assert re.fullmatch(r"\|[|: -]+", table.splitlines()[1]), table


@pytest.mark.parametrize("name", ["library", "watch"])
def test_the_python_examples_of_a_page_run(name, tmp_path, monkeypatch):
    page = ROOT / "docs" / f"{name}.md"
    monkeypatch.chdir(tmp_path)
    with restored():
        for example in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            exec(compile(example, str(page), "exec"), {})


def anchors(page):
    """The names of a page's headings in addresses, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", line).lower()).strip().replace(" ", "-")
        for line in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file_and_a_heading(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_list_of_pages_names_every_page_once():
    """`.ci/generate.py --check` compares both READMEs with it."""
    groups = yaml.safe_load((ROOT / "docs" / "pages.yaml").read_text())["pages"]
    listed = [f"{name}.md" for names in groups.values() for name in names]
    assert sorted([*listed, "README.md"]) == sorted(page.name for page in DOCS)


def test_the_readme_fits_its_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_from_its_first_command_to_its_last(page, tmp_path):
    for command, expected in session(page):
        tolerance = 0.0 if command.split()[1] in ("optimize", "explain") else 0.05
        now = answer(command, tmp_path)
        assert expected is None or not difference(now, expected, tolerance), command


@pytest.mark.parametrize(("page", "command", "shown"), OUTPUTS)
def test_an_output_of_a_page_is_what_the_command_prints(page, command, shown, tmp_path):
    """PyTorch's results differ a little from processor to processor; the paths of optimizers do not as printed."""
    tolerance = 0.05 if command.split()[1] in ("train", "diagnose", "remedy") else 0.0
    if command.startswith("optilab grade"):  # which names what isolates
        need("bwrap")
    assert not difference(printed(command, page, tmp_path), shown, tolerance)


def test_a_wrong_output_is_noticed():
    shown = "a  1.00\n[2 lines left out]\nb  2.0s\nruns/20261124-143512-x-1c2d9e05"
    actual = "a 1.00\nx\ny\nb 2.0s\nruns/20270101-000000-x-ffffffff"
    assert not difference(actual, shown, 0.0)
    assert difference(actual.replace("1.00", "1.01"), shown, 0.0)
    assert not difference(actual.replace("1.00", "1.01"), shown, 0.05)
    assert difference(actual.replace("x\ny", "x"), shown, 0.0)
    assert difference(actual + "\nmore", shown, 0.0)
    assert difference(actual.replace("b", "c"), shown, 0.05)


def _linked(source, target):
    """A second name of a file, or a copy where the temporary directory is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_the_commands_of_a_page(page, block, tmp_path):
    write_files(page, tmp_path)
    # A reader who has trained before has the dataset in the cache.
    dataset = fetch.load_or_fetch("fashion-mnist").directory
    shutil.copytree(dataset, tmp_path / "cache" / "optilab" / "fashion-mnist", copy_function=_linked)
    for line in block.splitlines():
        fewer = "".join(more for start, more in FEWER.items() if re.match(start, line))
        answer(line + fewer, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
        for file in re.findall(r"--out (\S+\.(?:png|svg|pdf|gif))", line):
            assert (tmp_path / file).stat().st_size > 10_000


def test_the_own_images_of_the_page(tmp_path, monkeypatch):
    """Its file is written by its script, and its commands train on it."""
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "data.md").read_text().split("### An .npz file")[1].split("###")[0]
    (script,) = files(ROOT / "docs" / "data.md").values()
    exec(compile(script, "save_images.py", "exec"), {})
    (commands,) = re.findall(r"^```bash\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    verified, trained = [answer(line, tmp_path) for line in commands.splitlines()]
    assert re.search(r"stripes\.npz +[\d,]+ +[0-9a-f]{16} +ok", verified)
    assert "120-128-128-128-128-128-3 " in trained
    assert (
        float(re.search(r"^better than chance: validation accuracy ([\d.]+)%", trained, flags=re.MULTILINE)[1])
        > 90
    )


@pytest.mark.nightly
def test_the_cluster_of_the_page_on_one_machine(tmp_path):
    """Its two blocks as they are, with `dask` and `optilab` of this environment."""
    section = (ROOT / "docs" / "clusters.md").read_text().split("## On one machine")[1].split("\n## ")[0]
    start, study = re.findall(r"^```bash\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    for program in ("dask", "optilab"):
        (tmp_path / program).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {program} "$@"\n')
        (tmp_path / program).chmod(0o755)
    place = environment(PATH=f"{tmp_path}:{os.environ['PATH']}", OPTILAB_RUNS="runs")
    options = {"cwd": tmp_path, "env": place}
    with (tmp_path / "log").open("wb") as log:
        cluster = subprocess.Popen(
            ["sh", "-c", start + "wait"], stdout=log, stderr=log, start_new_session=True, **options
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not (tmp_path / "cluster.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        done = subprocess.run(["sh", "-c", study], capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
        assert "2 values of optimizer.lr x 1 seed, 1 epoch: 2 done" in done.stdout
    finally:
        os.killpg(cluster.pid, signal.SIGKILL)
        cluster.wait()


def test_the_pictures_of_the_pages_are_there_and_small():
    pictures = ROOT / "docs" / "pictures"
    used = {name for page in PAGES for name in re.findall(r"pictures/([\w/-]+\.(?:png|svg))", page.read_text())}
    assert used == {str(path.relative_to(pictures)) for path in pictures.rglob("*.*")}
    for name in used:
        data = (pictures / name).read_bytes()
        assert data.startswith(b"\x89PNG" if name.endswith("png") else b"<svg")
        assert len(data) < (200_000 if name.endswith("png") else 5_000)
