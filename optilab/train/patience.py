"""What the rows so far decide: whether a run ends early, how far its learning rate has been lowered.

The rows alone tell, so neither is state that a checkpoint would have to keep.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optilab.config.schema.train import EarlyStopping, ReduceOnPlateau


def stalled(rows: Sequence[Mapping[str, Any]], stopping: EarlyStopping | None) -> bool:
    """The last `patience` epochs brought nothing better than what was there before them."""
    if stopping is None or len(rows) <= stopping.patience:
        return False
    sign = -1 if stopping.monitor == "val_loss" else 1
    best, since = -math.inf, 0
    for row in rows:
        value = sign * row[stopping.monitor]
        best, since = (value, 0) if value > best + stopping.min_delta else (best, since + 1)
    return since >= stopping.patience


def lowered(rows: Sequence[Mapping[str, Any]], plateau: ReduceOnPlateau | None) -> float:
    """The factor of the learning rate after those epochs; torch ReduceLROnPlateau, stepped after each."""
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
