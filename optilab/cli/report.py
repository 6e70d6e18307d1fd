"""`optilab report`: a comparison as one HTML file."""

from typing import Annotated, Any

import typer

from optilab.cli.compare import At, Baseline, By, Over, Target, Until
from optilab.cli.options import Json, RunNames, RunsDir, examples, not_empty, only_one, typed

EXAMPLES = examples(
    "optilab report latest --out report.html",
    "optilab report lr-sweep --title 'Which learning rate?'",
    "optilab report 'relu-*' 'tanh-*' --metric val_loss --baseline relu",
)


def report(
    ctx: typer.Context,
    names: RunNames,
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="The page to write.", callback=not_empty)
    ] = "report.html",
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Heading [the question that the page answers].")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A column of metrics.csv, seconds, test_acc or test_loss [val_acc; of a race test_acc].",
        ),
    ] = None,
    at: At = "last",
    target: Target = None,
    until: Until = "epochs",
    baseline: Baseline = None,
    by: By = None,
    over: Over = "seeds",
    runs_dir: RunsDir = None,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the file's name and nothing else.")] = False,
) -> None:
    """Write trainings and studies as one HTML page: verdict, table, curves, layers, settings, configs, commands.

    The page needs no network and no optilab. An older page of optilab is replaced, any other file is not. Of a race
    on trainings, the judged ones are reported, with its verdicts; with --metric and the like they are compared anew.
    """
    from optilab import pages, runs
    from optilab.show import terminal
    from optilab.study import network_race as races
    from optilab.verbs import race as views
    from optilab.verbs.compare import ComparisonOptions, LabComparison, compared, judged
    from optilab.verbs.network_race_page import network_race_page
    from optilab.verbs.report_page import report as comparison

    only_one(json=json_, quiet=quiet)
    path = pages.target(out)
    folder = runs.root(runs_dir)
    chosen = {"metric", "at", "target", "until", "baseline", "by", "over"} & typed(ctx).keys()
    result, found, verdict = None, dict[str, Any](), ""
    with terminal.busy("reading the runs"):
        entries, records, metric = judged(folder, names, metric)
        study = entries[0]
        if len(entries) == 1 and isinstance(study, runs.Study) and not chosen:
            result = races.read(study)
        if result is not None and isinstance(study, runs.Study):
            content = network_race_page(result, study, title)
            found, verdict = {"race": views.document(result)}, views.answer_of(result)
        else:
            options = ComparisonOptions(
                at=at, target=target, until=until, baseline=baseline, by=by, over=over, typed=True
            )
            side = compared(records, metric, options)
            answer = LabComparison(side, entries)
            content = comparison(side, entries, title)
            found, verdict = {"comparison": answer.document()}, answer.verdict
    pages.write(path, content)
    if json_:
        terminal.document({"page": str(path), "bytes": len(content), **found})
    elif quiet:
        typer.echo(path)
    else:
        terminal.say(f"verdict: {verdict}", style="bold")
        terminal.say(f"{path}  ({len(content) / 2**20:.1f} MiB)")
