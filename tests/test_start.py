"""What the start of a command loads, in processes of their own."""

import subprocess
import sys

SLOW = {"torch", "torchvision", "matplotlib", "scipy", "jax", "optax", "pandas", "sklearn"}
LINES = [
    "--help",
    "optimize --algo adam --epochs 30",
    "optimize --algo adam --json",
    "optimize --epochs -5",
    "train --config sigmoid.yaml --lr -1",
    "train sigmoid.yaml --out curves.bmp",
    "lr sigmoid.yaml --out rates.bmp",
    "lr sigmoid.yaml --seeds 3",
    "lr sigmoid.yaml --set optimizer=polyak",
    "config show train",
    "data ls",
    "data verify synthetic",
    "runs ls",
    "runs plot latest",
    "report latest",
    "env",
]
PROGRAM = """
import contextlib, os, sys, tempfile
from optilab.__main__ import main

for line in {lines!r}:
    sys.argv = ["optilab", *line.split()]
    os.chdir(tempfile.mkdtemp(dir={folder!r}))
    with contextlib.suppress(SystemExit):
        main()
    print("loaded", sorted({slow!r} & set(sys.modules)), line, file=sys.stderr)
"""
OPTIMIZERS = """
import sys
import torch
from optilab.optimize import RULES
from optilab.train.optimizers import build

for kind in RULES.values():
    if kind.needs:
        continue
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 6))
    optimizer = build([weight], kind())
    for _ in range(2):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
torch.nn.utils.clip_grad_norm_([weight], 1.0)
print(sorted({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)))
torch.optim.SGD([weight])
print("torch._dynamo" in sys.modules)
"""


def loaded(lines, folder):
    """What each line has loaded of `SLOW`, one after the other, so that the first one to load it is named first."""
    program = PROGRAM.format(lines=lines, folder=str(folder), slow=SLOW)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if line.startswith("loaded")]


def test_start_loads_no_slow_library(tmp_path):
    assert loaded(LINES, tmp_path) == [f"loaded [] {line}" for line in LINES]


def test_loaded_library_is_noticed(tmp_path):
    """Negative control."""
    (line,) = loaded(["optimize --algo sgd --epochs 2 --out path.svg"], tmp_path)
    assert "matplotlib" in line


def test_functions_and_their_trees_load_no_numpy():
    """The second line is the control."""
    program = "import sys; from optilab.optimize import OBJECTIVES as functions; booth = functions['booth'](); "
    program += (
        "booth.nodes(); print('numpy' in sys.modules); import optilab.optimize.path; print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["False", "True"], done.stderr


def test_no_optimizer_loads_pytorchs_compiler():
    """Its import takes as long as that of torch itself. The second line is the control."""
    done = subprocess.run([sys.executable, "-c", OPTIMIZERS], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr
