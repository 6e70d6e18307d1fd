"""The range test of a training: which learning rate."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optilab.config.training import TrainConfig
    from optilab.data.load import Dataset
    from optilab.study.rates import RangeTest, RateRamp


def range_test(asked: "TrainConfig", ramp: "RateRamp", dataset: "Dataset", silent: bool) -> "RangeTest":
    """The range test, with its cost beforehand and its progress; it ends where the loss runs away."""
    from optilab.console.lr import RangeProgress
    from optilab.study import rates
    from optilab.verbs import studies

    if not silent:
        studies.starting(asked.name)
    from optilab.train import session  # torch comes in here

    training = session.build(asked, dataset)
    losses: list[float] = []
    with RangeProgress(ramp, asked.data.batch_size, len(training.train), silent) as progress:
        for loss in training.ramp(rate / ramp.lr for rate in ramp.rates):
            losses.append(loss)
            progress.step(loss)
            if rates.runs_away(losses, training.chance_loss):
                break
    return rates.read(ramp, losses, training.chance_loss)
