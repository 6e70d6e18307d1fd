"""What the start of a command loads, in processes of their own."""

from optilab.commands import COMMANDS
from optilab.optimize import RULES
from tests.kit.command import python

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
LIGHT = {
    "optimize": ["--algo admm", "--algo adam --lr -1", "--algo adam --set nosuch=1", "--bogus"],
    "explain": ["admm", "adam --step 0"],
    "verify": ["", "mine.py:Mine --against admm", "mine.py:Mine", "*.py --against adam"],
    "grade": ["", "mine.py:Mine --against admm", "nosuch*.py --against adam"],
    "map": ["admm --x lr=1:2 --basins"],
    "race": ["--algo admm,adam", "--budget 0"],
    "benchmark": ["relu --algo sgd,admm"],
    "train": [
        "",
        "nosuch",
        "relu --lr -1",
        "relu --set nosuch=3",
        "relu --optimizer admm",
        "relu --expect nosuch>1",
    ],
    "diagnose": ["nosuch"],
    "remedy": ["nosuch", "relu --only nosuch", "relu --seeds 0"],
    "lr": ["nosuch", "relu --steps 5"],
    "sweep": ["relu --over nothing", "relu --over nosuch=1,2", "relu --over optimizer.lr=2:1", "relu"],
    "runs": ["ls", "ls --help", "show nosuch", "compare nosuch", "plot nosuch --help"],
    "report": ["nosuch"],
    "check": ["nosuch", ""],
    "config": ["ls", "show train", "show nosuch", "check nosuch"],
    "help": ["claims", "nosuch"],
}
"""Lines that need no number, next to the `--help` of each command."""
COMPLETIONS = [
    "tr",
    "train rel",
    "sweep relu --over model.ac",
    "optimize --algo ad",
    "optimize --function bo",
    "remedy relu --only un",
    "config show re",
]
PROGRAM = """
import contextlib, os, sys, tempfile
from optilab.__main__ import main

for line in {lines!r}:
    words = line.split()
    if words[0] == "complete":
        os.environ |= {{"_OPTILAB_COMPLETE": "complete_bash", "COMP_WORDS": "\\n".join(["optilab", *words[1:]])}}
        os.environ["COMP_CWORD"] = str(len(words) - 1)
        words = []
    sys.argv = ["optilab", *words]
    os.chdir(tempfile.mkdtemp(dir={folder!r}))
    with contextlib.suppress(SystemExit):
        main()
    os.environ.pop("_OPTILAB_COMPLETE", None)
    print("loaded", sorted({slow!r} & set(sys.modules)), line, file=sys.stderr)
"""
OPTIMIZERS = """
import sys
import torch
from optilab.optimize import RULES
from optilab.train.optimizers import build

stepped = [kind for kind in RULES.values() if not kind().needs]
for kind in stepped:
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
print(*(kind.name for kind in stepped))
"""


def loaded(lines, folder, slow=SLOW):
    """What each line has loaded of `slow`, one after the other, so that the first one to load it is named first."""
    program = PROGRAM.format(lines=lines, folder=str(folder), slow=slow)
    done = python(program, folder)
    return [line for line in done.stderr.splitlines() if line.startswith("loaded")]


def test_start_loads_no_slow_library(tmp_path):
    """The last line is the control."""
    control = "optimize --algo sgd --epochs 2 --out path.svg"
    *free, last = loaded([*LINES, control], tmp_path)
    assert free == [f"loaded [] {line}" for line in LINES]
    assert last == f"loaded ['matplotlib'] {control}"


def test_line_without_numbers_loads_no_numpy(tmp_path):
    """Help, lines that are refused, lists and completion; `play` and others have only help here. The last line is
    the control."""
    lines = [f"{name} {rest}".strip() for name in COMMANDS for rest in ("--help", *LIGHT.get(name, ()))]
    lines += [f"complete {words}" for words in COMPLETIONS]
    control = "optimize adam --no-save"
    *free, last = loaded([*lines, control], tmp_path, SLOW | {"numpy"})
    assert free == [f"loaded [] {line}" for line in lines]
    assert last == f"loaded ['numpy'] {control}"


def test_functions_and_their_trees_load_no_numpy(tmp_path):
    """The second line is the control."""
    program = "import sys; from optilab.optimize import OBJECTIVES as functions; booth = functions['booth'](); "
    program += (
        "booth.nodes(); print('numpy' in sys.modules); import optilab.optimize.path; print('numpy' in sys.modules)"
    )
    assert python(program, tmp_path).stdout.splitlines() == ["False", "True"]


def test_no_optimizer_loads_pytorchs_compiler(tmp_path):
    """Its import takes as long as that of torch itself. The second line is the control."""
    *loads, stepped = python(OPTIMIZERS, tmp_path).stdout.splitlines()
    assert loads == ["[]", "True"]
    assert stepped.split() == [name for name, kind in RULES.items() if not kind().needs]
