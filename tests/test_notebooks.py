"""The notebooks of docs/: they run from top to bottom in this interpreter, without a message on stderr.

`python -m tests.test_notebooks` runs them and writes their outputs anew.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient

from tests.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
LARGEST = 300_000


def executed(path, folder):
    """The notebook after a run in `folder`, in a kernel of this interpreter, whatever kernels are installed."""
    kernel = folder / "kernels" / "tests" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "tests", "language": "python"}))
    own = {name: str(folder / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPTILAB_RUNS")}
    notebook, place = nbformat.read(path, as_version=4), {"metadata": {"path": str(folder)}}
    with mock.patch.dict(
        os.environ, {**kept, **own, "JUPYTER_PATH": str(folder), "PYTHONPATH": str(ROOT)}, clear=True
    ):
        # A kernel under load sends the text and the line break of one print apart: they are joined again.
        NotebookClient(
            notebook, kernel_name="tests", timeout=600, resources=place, coalesce_streams=True
        ).execute()
    return notebook


def texts(notebook):
    """What the cells print, as plain text."""
    return [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]


def formats(notebook):
    return {
        kind for cell in notebook.cells for output in cell.get("outputs", []) for kind in output.get("data", {})
    }


def errors(notebook):
    return [o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_exercise(tmp_path):
    """Paths are reproducible, so every line that is in the file is printed again."""
    path = ROOT / "docs" / "exercise.ipynb"
    done = executed(path, tmp_path)
    assert texts(done) == texts(nbformat.read(path, as_version=4))
    assert {"text/html", "image/png"} <= formats(done)
    assert not errors(done)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_vanishing_gradient(tmp_path):
    done = executed(ROOT / "docs" / "vanishing-gradient.ipynb", tmp_path)
    said = texts(done)
    assert any("val_acc 10.0%" in text for text in said)
    assert any("activation relu" in text for text in said)
    assert "text/html" in formats(done)
    assert not errors(done)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_loop_that_does_not_learn(tmp_path):
    """Each slip is named first, and the same network without it has no finding."""
    done = executed(ROOT / "docs" / "watch.ipynb", tmp_path)
    said = "\n".join(texts(done))
    for name in (
        "Sequential: warning: softmax-twice",
        "Sequential: healthy: ",
        "Waves: critical: graph-cut",
        "Language: critical: labels-unrelated",
    ):
        assert f"<Diagnosis: {name}" in said
    assert "text/html" in formats(done)
    assert not errors(done)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_machine(path):
    content = path.read_bytes()
    assert len(content) < LARGEST
    assert b"/tmp/" not in content
    assert b"/home/" not in content


if __name__ == "__main__":
    for path in NOTEBOOKS:
        metadata = nbformat.read(path, as_version=4).metadata
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        notebook.metadata = metadata
        for cell in notebook.cells:
            cell.metadata = {}
        nbformat.write(notebook, path)
