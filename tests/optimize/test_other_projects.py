"""Numbers from the test suites of other projects (tests/oracles/numbers.yaml), through the step API."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.testing import assert_allclose

from optilab.optimize import RULES
from optilab.optimize.schedules import SCHEDULES

NUMBERS = yaml.safe_load((Path(__file__).parents[1] / "oracles" / "numbers.yaml").read_text())


@dataclass(frozen=True)
class Golden:
    """A row of another project's tests; the keys are explained in numbers.yaml."""

    rule: Any
    start: Any
    points: dict[int, Any]
    within: float
    gradients: tuple[Any, ...] = ()
    gradient: str = ""
    coupled: float = 0.0
    decoupled: float = 0.0
    schedule: str = "1"

    def gradient_at(self, x: Any, t: int) -> Any:
        """At the point x, for step t, from 0."""
        if self.gradient:
            return eval(self.gradient, {"x": x, "exp": np.exp})
        return self.gradients[min(t, len(self.gradients) - 1)]


def rule(name: str, base: dict[str, Any] | None = None, **settings: Any) -> Any:
    return RULES[name](**settings, **({"base": rule(**base)} if base else {}))


GOLDEN = {name: Golden(**{**entry, "rule": rule(**entry["rule"])}) for name, entry in NUMBERS["rules"].items()}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=list(GOLDEN))
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_numbers_of_other_projects(golden, dtype):
    shapes = [np.shape(value) for value in (golden.start, *golden.gradients, *golden.points.values())]
    x = np.asarray(np.broadcast_to(golden.start, np.broadcast_shapes(*shapes)), dtype=dtype)
    state = golden.rule.init(x)
    for t in range(max(golden.points)):
        factor = eval(golden.schedule, {"t": t})
        rule = golden.rule if factor == 1 else replace(golden.rule, lr=golden.rule.lr * factor)
        gradient = np.asarray(np.broadcast_to(golden.gradient_at(x, t), x.shape), dtype=dtype)
        before = x
        x, state = rule.step(before, gradient + golden.coupled * before, t + 1, state)
        if golden.decoupled:
            x = x - rule.lr * golden.decoupled * before
        shape = before.shape
        assert (x.dtype, x.shape) == (dtype, shape)
        if t + 1 in golden.points:
            assert_allclose(x, golden.points[t + 1], rtol=0, atol=golden.within, err_msg=f"step {t + 1}")


@pytest.mark.parametrize("entry", NUMBERS["schedules"], ids=str)
def test_schedules_of_other_projects(entry):
    settings = dict(entry["schedule"])
    schedule = SCHEDULES[settings.pop("name")](**settings)
    for t, factor in entry["factors"].items():
        assert schedule.factor(t, entry["total"]) == pytest.approx(factor, rel=1e-6, abs=1e-12)


def test_no_number_is_lost():
    """A table that is cut short tests less."""
    assert len(GOLDEN) == 86
    assert len({name.split()[0] for name in GOLDEN}) == 11  # the exercise is the twelfth
