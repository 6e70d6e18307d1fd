"""Schedules against torch.optim.lr_scheduler, step by step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from optilab.optimize.schedules import SCHEDULES, Constant, Cosine, MultiStep, OneCycle, Polynomial, Step, WarmUp

LR = 0.3


def _warm_up_then(down: Any) -> Callable[[torch.optim.Optimizer, int], Any]:
    def made(optimizer: torch.optim.Optimizer, total: int) -> Any:
        warm_up = lr_scheduler.LinearLR(optimizer, 0.25, total_iters=8)
        return lr_scheduler.SequentialLR(optimizer, [warm_up, down(optimizer, total - 8)], milestones=[8])

    return made


CASES: list[tuple[Any, Callable[[torch.optim.Optimizer, int], Any]]] = [
    (Constant(), lambda o, total: lr_scheduler.ConstantLR(o, factor=1.0)),
    (Step(every=7, gamma=0.5), lambda o, total: lr_scheduler.StepLR(o, 7, 0.5)),
    (Step(), lambda o, total: lr_scheduler.StepLR(o, 30)),
    (Step(every=1, gamma=0.9), lambda o, total: lr_scheduler.ExponentialLR(o, 0.9)),
    (MultiStep(), lambda o, total: lr_scheduler.MultiStepLR(o, [30, 80])),
    (MultiStep((9, 4, 9), 0.5), lambda o, total: lr_scheduler.MultiStepLR(o, [9, 4, 9], 0.5)),
    (Polynomial(), lambda o, total: lr_scheduler.PolynomialLR(o, total)),
    (Polynomial(power=2.0, steps=10), lambda o, total: lr_scheduler.PolynomialLR(o, 10, 2.0)),
    (Polynomial(final=0.1, steps=9), lambda o, total: lr_scheduler.LinearLR(o, 1.0, 0.1, 9)),
    (Cosine(steps=5, final=0.1), lambda o, total: lr_scheduler.CosineAnnealingLR(o, 5, eta_min=0.1 * LR)),
    (Cosine(steps=5, then="restart"), lambda o, total: lr_scheduler.CosineAnnealingWarmRestarts(o, 5)),
    (Cosine(), lambda o, total: lr_scheduler.CosineAnnealingLR(o, total)),
    (Cosine(final=0.1), lambda o, total: lr_scheduler.CosineAnnealingLR(o, total, eta_min=0.1 * LR)),
    (OneCycle(), lambda o, total: lr_scheduler.OneCycleLR(o, LR, total)),
    (
        OneCycle(warm_up=0.45, start_div=10.0, final_div=100.0),
        lambda o, total: lr_scheduler.OneCycleLR(
            o, LR, total, pct_start=0.45, div_factor=10.0, final_div_factor=100.0
        ),
    ),
    (WarmUp(), lambda o, total: lr_scheduler.LinearLR(o)),
    (WarmUp(steps=8, start=0.25, then="cosine"), _warm_up_then(lr_scheduler.CosineAnnealingLR)),
    (WarmUp(steps=8, start=0.25, then="linear"), _warm_up_then(lr_scheduler.PolynomialLR)),
]


@pytest.mark.parametrize("total", [13, 100])
@pytest.mark.parametrize(("schedule", "reference"), CASES, ids=[str(schedule) for schedule, _ in CASES])
# SequentialLR of torch 2.x calls its own deprecated form of step(epoch).
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
def test_torch_parity(schedule: Any, reference: Callable[..., Any], total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = reference(optimizer, total)
    for t in range(total):
        assert LR * schedule.factor(t, total) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-12, abs=1e-15)
        optimizer.step()
        if t + 1 < total:
            scheduler.step()


@pytest.mark.parametrize("schedule", [kind() for kind in SCHEDULES.values()], ids=list(SCHEDULES))
@pytest.mark.parametrize("total", [1, 2, 3, 30])
def test_factors_are_shares_and_stay_at_the_end(schedule: Any, total: int) -> None:
    factors = [schedule.factor(t, total) for t in range(total + 5)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert (
        schedule.factor(total, total)
        == schedule.factor(total + 1, total)
        == schedule.factor(10 * total + 40, total)
    )


def test_every_schedule_is_compared_with_torch() -> None:
    assert {schedule.name for schedule, _ in CASES} == set(SCHEDULES)
