"""Early stopping and ReduceLROnPlateau as pure functions of the history, so that checkpoints need no extra state."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optilab.config.training import EarlyStopping, ReduceOnPlateau


def stalled(rows: Sequence[Mapping[str, Any]], stopping: EarlyStopping | None) -> bool:
    """Whether the last `patience` epochs brought no improvement on the epochs before them."""
    if stopping is None or len(rows) <= stopping.patience:
        return False
    sign = -1 if stopping.monitor == "val_loss" else 1
    best, since = -math.inf, 0
    for row in rows:
        value = sign * row[stopping.monitor]
        best, since = (value, 0) if value > best + stopping.min_delta else (best, since + 1)
    return since >= stopping.patience


def lowered(rows: Sequence[Mapping[str, Any]], plateau: ReduceOnPlateau | None) -> float:
    """Factor of the learning rate after these epochs, as torch's ReduceLROnPlateau sets it when stepped after each."""
    if plateau is None:
        return 1.0
    sign = 1 if plateau.monitor == "val_acc" else -1
    factor, best, since, resting = 1.0, -math.inf, 0, 0
    for row in rows:
        value = sign * row[plateau.monitor]
        margin = abs(best) * plateau.threshold if plateau.relative else plateau.threshold
        best, since = (value, 0) if best == -math.inf or value > best + margin else (best, since + 1)
        if resting:
            resting, since = resting - 1, 0
        if since > plateau.patience:
            factor, since, resting = max(factor * plateau.factor, plateau.lowest), 0, plateau.cooldown
    return factor
