"""A training starts without PyTorch's compiler, whose import takes as long as that of torch itself."""

import subprocess
import sys

PROGRAM = """
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


def test_no_optimizer_loads_the_compiler():
    """The second line is the control: torch's own constructor does load it."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr
