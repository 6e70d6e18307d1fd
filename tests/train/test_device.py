"""Devices without a GPU: what can be tested of them on a machine that has a CPU only."""

import pytest
import torch

from optilab.optimize import ALGORITHMS

RESERVED = {"step"}
"""State keys that `torch.optim.Optimizer.load_state_dict` treats as its own: it never moves them to a device."""

TRAINABLE = [name for name, rule in ALGORITHMS.items() if name == "lookahead" or not rule.needs]


@pytest.mark.parametrize("name", TRAINABLE)
def test_no_rules_state_uses_a_key_that_torch_reserves(name):
    state = ALGORITHMS[name]().init(torch.zeros(2))
    assert not RESERVED & set(state._fields)
