"""`optilab race --on`: rules on trainings, as a study."""

from typing import Any

import typer

from optilab.cli.options import chosen_format, only_one, overrides
from optilab.errors import ExitCode

_TRAINING = {"epochs": "epochs", "data_dir": "data.dir"}
_KEYS = ("budget", "seeds", "repeats", "target")


def network_race(ctx: typer.Context, given: dict[str, Any]) -> int:
    """Race on trainings; `given` are the options that were typed, by parameter."""
    from optilab import figures, pages, runs
    from optilab.cli import execution
    from optilab.config.load import Override, load, override
    from optilab.config.presets import algorithms
    from optilab.config.study import RaceConfig
    from optilab.console import network_race as views
    from optilab.console import study
    from optilab.console.claims import after
    from optilab.lab import execution as studies
    from optilab.lab.races import NETWORK_ALGOS
    from optilab.pages.network_race import network_race_page
    from optilab.show import terminal
    from optilab.study import network_race as races
    from optilab.study.claims import of_network_race

    json_, quiet = "json_" in given, "quiet" in given
    only_one(json=json_, quiet=quiet, dry_run="dry_run" in given and quiet)
    only_one(on=given.get("on"), config=given.get("file"), resume=given.get("resume"))
    format_ = chosen_format(given.get("format_", "table"), json_)
    if plot := given.get("plot"):
        figures.check(plot)
    if report := given.get("report"):
        page = pages.target(report)
    folder = runs.root(given.get("runs_dir"))
    source: execution.Source
    if on := given.get("on"):
        trainings = [name.strip() for name in on.split(",")]
        asked_first: dict[str, Any] = {"on": trainings, "algos": algorithms(NETWORK_ALGOS)}
        source = execution.Source(asked_first, given.get("name"))
    else:
        file, resume = given.get("file"), given.get("resume")
        source = execution.source("race --on", None, file, resume, given.get("name"), folder)
    changes = [override(f"--{key}", key, str(given[key])) for key in _KEYS if key in given]
    if ctx.params["expect"]:
        changes.append(Override("--expect", "expect", list(ctx.params["expect"]), adds=True))
    if "algos" in given:
        changes.append(Override("--algos", "algos", algorithms(given["algos"])))
    asked = races.resolve(load(RaceConfig, source.config, changes), overrides(ctx, _TRAINING))
    planned, jobs = races.plan(asked), ctx.params["jobs"]
    name = runs.chosen_name(source.name, f"{asked.name}-race")
    if "dry_run" in given:
        study.show_plan(planned.shape, studies.dry_run(planned, folder / name, jobs), format_ == "json")
        return ExitCode.OK
    ran = execution.run(planned, folder, name, quiet, jobs, given.get("cluster"), "fail_fast" in given)
    if quiet and not (plot or report or asked.expect):
        typer.echo(ran.path)
        return ran.code
    result = races.result(planned, ran.outcomes, ran.path)
    if plot:
        figures.save(figures.network_race(result, bool(given.get("dark"))), plot)
    if report:
        pages.write(page, network_race_page(result, runs.read_study(ran.path)))
    judged = list(of_network_race(asked.expect, result))
    if quiet:
        typer.echo(ran.path)
    elif format_ == "json":
        terminal.document(
            {
                "run": str(ran.path),
                "asked": planned.asked.model_dump(mode="json", exclude={"on"}),
                **views.document(result),
                **({"expect": [one.document() for one in judged]} if judged else {}),
            }
        )
    else:
        views.show(planned, result, format_)
        if format_ == "table":
            terminal.say(str(ran.path))
    return max(ran.code, after(judged, quiet or format_ != "table"))
