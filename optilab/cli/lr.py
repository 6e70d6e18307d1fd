"""`optilab lr`: which learning rate, by a range test and, with --confirm, by trainings with seeds."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from optilab.cli.execution import Jobs
from optilab.cli.options import (
    Dark,
    DataDir,
    Expect,
    Json,
    Name,
    Plot,
    RunsDir,
    Set,
    complete_algo,
    complete_preset,
    no_config,
    only_one,
    overrides,
    retyped,
    typed,
)
from optilab.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from optilab.study.execution import StudyResult
    from optilab.study.rates import Confirmation

EXAMPLES = """\b
Examples:
  optilab lr relu.yaml
  optilab lr relu.yaml --optimizer adam --plot rates.png
  optilab lr batchnorm.yaml --confirm --seeds 3 --epochs 3
  optilab train relu.yaml --epochs 3 --lr $(optilab lr relu.yaml --quiet)
"""

_KEYS = {
    "optimizer": "optimizer",
    "batch_size": "data.batch_size",
    "seed": "seed",
    "device": "device",
    "data_dir": "data.dir",
}
_CONFIRM_ONLY = ("seeds", "epochs", "jobs", "name", "runs_dir")


def lr(
    ctx: typer.Context,
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG", help="The training: YAML file or preset.", autocompletion=complete_preset("train")
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Optimizer, with its defaults.", autocompletion=complete_algo),
    ] = None,
    batch_size: Annotated[str | None, typer.Option(metavar="N", help="Images per step (data.batch_size).")] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", min=100, max=100_000, help="Steps of the range test, at most.")
    ] = 1000,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Train at five rates around the answer, with seeds; keep the runs.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="With --confirm: seeds of each rate.")
    ] = 3,
    epochs: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="With --confirm: epochs of each training.")
    ] = 3,
    jobs: Jobs = None,
    seed: Annotated[str | None, typer.Option(metavar="N", help="Seed of every random number.")] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = None,
    data_dir: DataDir = None,
    set_: Set = None,
    expect: Expect = None,
    plot: Plot = None,
    dark: Dark = False,
    name: Name = None,
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the rate and nothing else.")] = False,
) -> int:
    """Find a learning rate for a training: a range test of seconds, which writes nothing.

    The rate grows at each step of one short training, and the loss tells which rates are too small and which too
    large. With --confirm, trainings at five rates around the answer decide, as a study that is kept. Exit code 9
    where there is no rate to recommend.
    """
    from optilab import runs
    from optilab.cli import execution
    from optilab.config.claims import expectations
    from optilab.config.load import load
    from optilab.config.training import TrainConfig
    from optilab.console import lr as views
    from optilab.lab.execution import dataset_of
    from optilab.lab.rates import range_test
    from optilab.show import terminal
    from optilab.study import rates
    from optilab.study.claims import of_rate
    from optilab.verbs.answer import after

    only_one(json=json_, quiet=quiet)
    if plot is not None:
        from optilab.show import chart_file

        chart_file.check(plot)
    if not confirm and (alone := [key for key in _CONFIRM_ONLY if key in typed(ctx)]):
        raise UsageError(f"--{alone[0].replace('_', '-')} needs --confirm")
    if config is None:
        raise no_config("lr")
    asked = load(TrainConfig, config, overrides(ctx, _KEYS))
    folder, claims = runs.root(runs_dir), expectations("lr", expect or [])
    ramp = rates.rate_ramp(asked.optimizer, steps)
    dataset = dataset_of(asked.data)
    test = range_test(asked, ramp, dataset, silent=json_ or quiet)
    confirmation: Confirmation | None = None
    ran: StudyResult | None = None
    if confirm:
        plan = rates.plan(asked, ramp.key, rates.rates_near(test), seeds, epochs, len(dataset.train_images))
        ran = execution.run(plan, folder, runs.chosen_name(name, f"{asked.name}-lr"), json_ or quiet, jobs)
        confirmation = rates.confirm(plan, [runs.read(path) for path in ran.completed])
    words = f"{shlex.quote(config)} {retyped(ctx, [*_KEYS, 'set_'])}".rstrip()
    result = views.RateAnswer(words, asked, test, confirmation, str(ran.path) if ran else None)
    if plot is not None:
        from optilab.charts.rates import rates_chart

        chart_file.save(rates_chart(test, confirmation, asked.name), plot, dark)
    judged = of_rate(claims, result.rate, asked.name)
    if json_:
        judgement = {"expect": [one.document() for one in judged]} if judged else {}
        terminal.document(views.document(result) | judgement)
    elif quiet:
        views.rate_alone(result)
    else:
        views.show(result)
        if plot is not None:
            terminal.say(plot)
    # That there is no rate may be what a claim expects.
    code = ExitCode.OK if judged or result.rate is not None else ExitCode.EXPECTATION
    return max(code, ran.code if ran else ExitCode.OK, after(judged, silent=json_ or quiet))
