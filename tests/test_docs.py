"""The pages of docs/: their commands run, their links lead somewhere, their tables are those of the registries.

`python -m tests.test_docs` writes the tables anew.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from docs.measured import figures
from optilab.data import fetch
from optilab.data.sources import DATASETS
from optilab.diagnose import CAUSES, in_loop
from optilab.optimize import OBJECTIVES, RULES
from optilab.verify.correspondence import CASES, shown
from tests.faults.harness import SECONDS
from tests.optimize.test_golden import GOLDEN
from tests.pages import (
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
from tests.run import restored

EXERCISE = json.loads((ROOT / "tests" / "reference" / "notebook.json").read_text())["optimize"]["cases"]
DOCS = [page for page in PAGES if page.parent.name == "docs"]
LONG = (
    "optilab race --out race.png",
    "--halving 3 --epochs 3",
    "--over optimizer=sgd,adam --over optimizer.lr=1e-3,1e-2",
    "optilab verify '*.py:Adam'",
)
"""Commands of pages that work for ten seconds and more; what they do is tested elsewhere, on less."""

FEWER = {
    r"optilab train (--config )?\S+\.yaml\b(?!.*(data\.|--expect))": " --set data.images=2000",
    r"optilab lr relu\.yaml": " --steps 300",
}
"""What a command that begins so gets here besides, so that it is done in a second."""


def _marks(command):
    return [pytest.mark.slow] if any(text in command for text in LONG) else []


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
START, END = "<!-- {} -->\n", "<!-- end of {} -->\n"


def rules():
    """One row per rule: name, fields, what it is and where it is from."""
    lines = ["| optimizer | fields and their defaults | what it is |", "|---|---|---|"]
    for name, kind in RULES.items():
        hints, rule = get_type_hints(kind), kind()
        texts = []
        for f in fields(kind):
            value = getattr(rule, f.name)
            choices = f" ({', '.join(get_args(hints[f.name]))})" if get_origin(hints[f.name]) is Literal else ""
            shown_value = value.name if f.name == "base" else f"{value:g}" if isinstance(value, float) else value
            texts.append(f"`{f.name}` {shown_value}{choices}")
        title = kind.__doc__.split("\n\n")[0].replace("\n    ", " ")
        needs = f" Needs `{kind.needs[0]}`." if isinstance(kind.needs, tuple) and kind.needs else ""
        lines.append(f"| `{name}` | {'; '.join(texts)} | {title}{needs} |")
    return "\n".join(lines) + "\n"


def correspondence():
    """One row per form: what to write in torch.optim and optax for the same path."""
    lines = ["| optimizer | form | torch.optim | optax |", "|---|---|---|---|"]
    for case in CASES:
        cells = []
        for library in ("torch", "optax"):
            reference, other = case.references[library], case.others.get(library)
            if reference is None:
                cells.append("")
            elif other:
                cells.append(f"has {other.text}")
            else:
                cells.append(f"`{reference.text.removeprefix('torch.optim.').removeprefix('optax.')}`")
        lines.append(f"| `{case.name}` | {shown(case.settings)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def compared():
    """What each rule is compared with, in a sentence with the counts and one row per rule."""
    found = {name: _compared(name) for name in RULES}
    torch, optax, elsewhere, numbers = (sum(bool(row[n]) for row in found.values()) for n in range(4))
    alone = sum(not row[0] and not row[1] for row in found.values())
    lines = [
        f"Of the {len(found)} optimizers, {torch} are compared with `torch.optim` and {optax} with optax; {alone} are "
        "compared with neither,",
        f"and {elsewhere} are compared with a further library, with SciPy or with their equations written out. For "
        f"{numbers}, numbers that other projects printed are reproduced.",
        "",
        "| optimizer | torch.optim | optax | elsewhere | numbers printed by |",
        "|---|---|---|---|---|",
        *(f"| `{name}` | {' | '.join(row)} |" for name, row in found.items()),
    ]
    return "\n".join(lines) + "\n"


def _compared(name):
    """torch.optim and optax: the forms that are theirs; other references; whose printed numbers are met."""
    forms = [case for case in CASES if case.name == name]
    cells = []
    for library in ("torch", "optax"):
        there = [case for case in forms if case.references[library]]
        same = sum(library not in case.others for case in there)
        whole = "yes" if same == len(forms) else f"{same} of {len(forms)} forms"
        cells.append(whole if same else "another form" if there else "")
    further = Counter("pytorch_optimizer" for case in forms if case.pytorch_optimizer)
    others = [
        library if n == len(forms) else f"{library}: {n} of {len(forms)} forms" for library, n in further.items()
    ]
    cells.append("; ".join(dict.fromkeys([*others, *(case.plain.text for case in forms if case.plain)])))
    authors = [text.split()[0] for text, golden in GOLDEN.items() if golden.rule.name == name]
    exercise = ["[the exercise](exercise.md)" for case in EXERCISE if case["algo"] == name]
    cells.append(", ".join(sorted({*authors, *exercise}, key=str.lower)))
    return cells


def functions():
    """One row per test function."""
    lines = ["| function | f(w) | minima | source |", "|---|---|---|---|"]
    for name, kind in OBJECTIVES.items():
        function = kind()
        minima = "; ".join(f"({', '.join(f'{v:.6g}' for v in point)})" for point in function.minima) or "-"
        lines.append(f"| `{name}` | `{function.formula}` | {minima} | {function.source} |")
    return "\n".join(lines) + "\n"


def datasets():
    """One row per dataset: its sizes, and where it is from."""
    lines = ["| `data.dataset` | images | classes | train | test | source |", "|---|---|---|---|---|---|"]
    for name, info in DATASETS.items():
        sizes = f"{' x '.join(map(str, info.shape))} | {len(info.classes)} | {info.train:,} | {info.test:,}"
        title = "" if info.title == name else f"{info.title}, "
        lines.append(
            f"| `{name}` | {'yours | yours | yours | yours' if info.own else sizes} | {title}{info.source} |"
        )
    return "\n".join(lines) + "\n"


def findings():
    """One row per finding of a training: what it measures, its threshold, what is normal, its remedy."""
    only = {*in_loop.DATA_AND_LOOP, *in_loop.THEN, *in_loop.NOTES}
    return _findings([cause for cause in CAUSES if cause not in only], "measures", "threshold", "normal", "remedy")


def findings_of_loops():
    """The same of the bugs of loops, and when they are silent."""
    causes = [cause for cause in CAUSES if cause.silent]
    return _findings(causes, "measures", "threshold", "normal", "silent", "remedy")


def _findings(causes, *columns):
    heads = ["finding", *columns]
    lines = [f"| {' | '.join(heads)} |".replace("silent", "silent when"), "|---" * len(heads) + "|"]
    for cause in causes:
        text = " | ".join(getattr(cause, column) for column in columns).replace("|dw|/|w|", "dw/w")
        lines.append(f"| `{cause.name}` | {text} |")
    return "\n".join(lines) + "\n"


TABLES = {
    "data": {"datasets": datasets},
    "optimizers": {"rules": rules, "functions": functions},
    "equivalents": {"compared": compared, "correspondence": correspondence},
    "diagnose": {"findings": findings},
    "watch": {"findings": findings_of_loops},
}


def place(name):
    return re.compile(re.escape(START.format(name)) + ".*?" + re.escape(END.format(name)), flags=re.DOTALL)


def written(name, table):
    return START.format(name) + table() + END.format(name)


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, tables in TABLES.items() for name in tables])
def test_a_table_of_a_page_is_what_the_registry_holds(page, name):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert place(name).search(text)[0] == written(name, TABLES[page][name])


def test_the_page_of_figures_is_made_from_them():
    assert figures.PAGE.read_text() == figures.page()


@pytest.mark.parametrize("name", ["library", "watch"])
def test_the_python_examples_of_a_page_run(name, tmp_path, monkeypatch):
    page = ROOT / "docs" / f"{name}.md"
    monkeypatch.chdir(tmp_path)
    with restored():
        for example in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            exec(compile(example, str(page), "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file(page):
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = [link.split("#")[0] for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose)]
    assert not [link for link in links if link and not (page.parent / link).exists()]


def test_the_index_lists_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    assert {page.name for page in DOCS} - {"README.md"} == set(re.findall(r"\]\(([\w-]+\.md)\)", index))


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


def costs(text):
    """Cost of each rule in a race's table."""
    rows = re.findall(r"^(\S+) +(\d+\.\d) .* (?:best|worse|cannot tell)$", text, flags=re.MULTILINE)
    return {rule: float(cost) for rule, cost in rows}


def _linked(source, target):
    """A second name of a file, or a copy where the temporary directory is on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_the_commands_of_a_page(page, block, tmp_path):
    write_files(page, tmp_path)
    found = fetch.ensure(
        "fashion-mnist", None, lambda *_: None
    ).folder  # as a reader has it who has trained before
    shutil.copytree(found, tmp_path / "cache" / "optilab" / "fashion-mnist", copy_function=_linked)
    for line in block.splitlines():
        fewer = "".join(more for start, more in FEWER.items() if re.match(start, line))
        shown = answer(line + fewer, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
        for file in re.findall(r"--out (\S+\.(?:png|svg|pdf|gif))", line):
            assert (tmp_path / file).stat().st_size > 10_000
        if line == "optilab race --out race.png":
            # Another processor's exp and sin differ in the last bit, and a tuned setting may follow.
            assert costs(shown) == pytest.approx(costs(page.read_text()), rel=0.1)
            assert len(costs(shown)) == 10


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
    assert float(re.search(r"^best .* (\S+)$", trained, flags=re.MULTILINE)[1]) > 0.9


def test_the_cluster_of_the_page_on_one_machine(tmp_path):
    """Its two blocks as they are, with `dask` and `optilab` of this environment."""
    pytest.importorskip("distributed")
    section = (ROOT / "docs" / "clusters.md").read_text().split("## On one machine")[1].split("\n## ")[0]
    start, study = re.findall(r"^```bash\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    for program in ("dask", "optilab"):
        (tmp_path / program).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {program} "$@"\n')
        (tmp_path / program).chmod(0o755)
    place = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OPTILAB_RUNS": "runs"}
    options = {"cwd": tmp_path, "env": {**os.environ, **place}}
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
    used = {name for page in PAGES for name in re.findall(r"pictures/([\w-]+\.png)", page.read_text())}
    assert used == {path.name for path in pictures.iterdir()}
    for name in used:
        data = (pictures / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 200_000


if __name__ == "__main__":
    for page, tables in TABLES.items():
        path = ROOT / "docs" / f"{page}.md"
        text = path.read_text()
        for name, table in tables.items():
            text = place(name).sub(lambda _, name=name, table=table: written(name, table), text)
        path.write_text(text)
