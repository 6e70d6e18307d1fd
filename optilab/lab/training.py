"""One training from its config to its end, with what is shown on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optilab.config.training import TrainConfig
    from optilab.console.train import Display
    from optilab.data.load import Dataset
    from optilab.train.engine import Training
    from optilab.train.resume import Branch


@dataclass(frozen=True)
class Trained:
    """A training as it ended: `status` is done or interrupted."""

    status: str
    training: "Training"
    display: "Display"


def train(
    path: Path,
    config: "TrainConfig",
    dataset: "Dataset",
    argv: Sequence[str],
    stop: Callable[[], bool],
    silent: bool,
    resumed: bool = False,
    fork: "Branch | None" = None,
    log: bool = False,
) -> Trained:
    """Train one network as the run `path`, or the rest of an interrupted run, or a fork, until `stop()` is true.

    `argv` is the command, for the manifest; `log` writes an event file of TensorBoard. Raises what `session` raises; a
    run that diverges is on disk by then.
    """
    from optilab.console import train as views
    from optilab.lab.logged import LoggedDisplay
    from optilab.runs.provenance import provenance
    from optilab.show import terminal
    from optilab.train import session  # torch comes in here, after everything that can be refused without it

    if resumed:
        training, run = session.resume(path, config, dataset, terminal.note)
    else:
        facts = provenance(argv, ["numpy", "torch"])
        place = (dataset, path.parent, path.name, facts)
        training, run = session.fork(fork, *place) if fork else session.start(config, *place)
    if not silent:
        sizes = (len(training.train), len(training.validation))
        views.header(
            training.config, training.inputs, dataset.classes, *sizes, str(training.device), dataset.digests
        )
        if fork:
            views.forked(run.manifest["fork"])
    with views.Display(config.epochs, training.rows, quiet=silent) as display:
        listener = LoggedDisplay(display, run.path, training.config, training.epoch) if log else display
        status = session.proceed(training, run, listener, stop)
    return Trained(status, training, display)
