"""The diagnosis of trainings whose cause is known: how many are flagged, rightly, and repaired by the first remedy.

Without an option, the stored trainings are diagnosed again, which takes a minute. `--train HALF` trains them again
(hours), `--remedies HALF` runs the first remedy of each flagged one, `--draw NAME --seed N` draws new trainings.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docs.measured import figures
from docs.measured.diagnosis import causes, draw, train
from optilab.diagnose import Finding, diagnose, verdict
from tests.diagnosis import stored
from tests.diagnosis.stored import Case

PERCEPTRONS, OWN = ("design", "held-out"), ("own-design", "own-held-out")
"""The causes were made for the design halves; the others were drawn by chance, and opened once these were finished."""
COLUMNS = ["trainings", "faulty: flagged", "flagged: first cause right", "healthy: not flagged"]


@dataclass(frozen=True)
class Diagnosed:
    """A case, what it recorded, and what the diagnosis finds in the whole training or in a probe run."""

    case: Case
    recorded: dict[str, Any]
    findings: list[Finding]

    @property
    def flagged(self) -> bool:
        return verdict.has_fault(self.findings)

    @property
    def right(self) -> bool:
        """The first finding names the cause."""
        return self.flagged and any(self.findings[0].name in names for names in self.case.accepted)

    @property
    def remedy(self) -> tuple[str, ...]:
        """The first remedy of the first finding; of two causes, those of both. Empty where there is none."""
        if not self.flagged:
            return ()
        if len(self.case.accepted) == 2:
            both = verdict.both(self.findings, "")
            return (*self.findings[0].remedies[0], *self.findings[1].remedies[0]) if both else ()
        return (*self.findings[0].remedies, ())[0]

    @property
    def key(self) -> str:
        """Case and remedy, in the files of remedies."""
        return " ".join([self.case.name, "+", *self.remedy])


@cache
def diagnosed(half: str, probe: bool = False) -> list[Diagnosed]:
    """Every stored case of a half that is clearly sick or clearly healthy."""
    folder = train.folder_of(half)
    recorded = stored.read(folder / f"{half}.json.gz")
    return [
        Diagnosed(case, recorded[case.name], diagnose(stored.evidence(case, recorded[case.name], probe)))
        for case in stored.cases(half, folder)
        if case.truth != "unclear" and case.name in recorded
    ]


def sick(entries: list[Diagnosed]) -> list[Diagnosed]:
    return [entry for entry in entries if entry.case.truth == "sick"]


def row(title: str, entries: list[Diagnosed]) -> figures.Row:
    """Sensitivity, first causes and specificity."""
    flagged = [entry for entry in sick(entries) if entry.flagged]
    healthy = [entry for entry in entries if entry.case.truth == "healthy"]
    clean = sum(not entry.flagged for entry in healthy)
    right = sum(entry.right for entry in flagged)
    return [title, [len(flagged), len(sick(entries))], [right, len(flagged)], [clean, len(healthy)]]


def trainings() -> list[figures.Row]:
    rows = [row(f"perceptrons, {half} half", diagnosed(half)) for half in PERCEPTRONS]
    rows += [row(f"networks of a user, {half.removeprefix('own-')} half", diagnosed(half)) for half in OWN]
    for half in PERCEPTRONS:
        entries = diagnosed(half, probe=True)
        visible = [entry for entry in entries if entry.case.visible or entry.case.truth == "healthy"]
        rows.append(row(f"probe run of 60 batches, {half} half", entries))
        rows.append(row(f"probe run, causes that it can show, {half} half", visible))
    return rows


def remedies() -> list[figures.Row]:
    """Of the sick cases whose first remedies were run, those that ended better; and how often two causes are named."""
    rows: list[figures.Row] = []
    for half, title in (("held-out", "perceptrons"), ("own-held-out", "networks of a user")):
        one = [entry for entry in sick(diagnosed(half)) if len(entry.case.accepted) == 1]
        rows.append([f"{title}: the first remedy ends better", better(one, file_of(half))])
    two = [entry for entry in sick(diagnosed("held-out")) if len(entry.case.accepted) == 2]
    named = sum(
        all(names & {f.name for f in entry.findings[:2]} for names in entry.case.accepted) for entry in two
    )
    rows.append(["two causes: the first two findings name them", [named, len(two)]])
    rows.append(["two causes: both remedies end better", better(two, file_of("held-out"))])
    return rows


def better(entries: list[Diagnosed], path: Path) -> list[int]:
    """How many remedies that were run ended better, of how many."""
    run = stored.read(path)
    known = [(entry.recorded, run[entry.key]) for entry in entries if entry.remedy and entry.key in run]
    return [sum(causes.improves_on(*pair) for pair in known), len(known)]


def file_of(half: str) -> Path:
    """Where the remedies of a half are stored."""
    return train.HERE / ("own-remedies.json.gz" if half in OWN else "remedies.json.gz")


def by_cause() -> list[figures.Row]:
    """Of the held-out perceptrons: how many had each cause, were flagged, and rightly."""
    entries = sick(diagnosed("held-out"))
    counts = Counter(entry.case.cause for entry in entries)
    return [
        [
            cause.replace("memorised", "memorized"),
            float(count),
            float(sum(entry.flagged for entry in entries if entry.case.cause == cause)),
            float(sum(entry.right for entry in entries if entry.case.cause == cause)),
        ]
        for cause, count in sorted(counts.items())
    ]


def new_half(name: str, seed: int, of_each: int) -> None:
    """Draw a half and write its cases; `own` in its name asks for the networks of nets.py."""
    path = train.HERE / "cases.json.gz"
    drawn = dict(draw.drawn(seed, "own" in name, of_each))
    for case_name, entry in drawn.items():
        stored.case_of(case_name, entry).config()  # refuses what is not valid
    train.write(path, stored.read(path) | {name: drawn})
    print(f"{len(drawn)} cases in the half {name}; train them by --train {name}")


def main(arguments: list[str]) -> None:
    parser = figures.parser("diagnosis", __doc__)
    parser.add_argument("--train", metavar="HALF", help="train the cases of a half")
    parser.add_argument("--only", default="", metavar="CASE", help="those whose name begins so")
    parser.add_argument("--missing", action="store_true", help="those that are not stored")
    parser.add_argument("--remedies", metavar="HALF", help="run the first remedies of a half")
    parser.add_argument("--draw", metavar="NAME", help="draw a new half")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--each", type=int, default=5, help="cases of each cause in the draw")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    options = parser.parse_args(arguments)
    if options.draw:
        new_half(options.draw, options.seed, options.each)
    elif options.train:
        train.train_half(options.train, options.only, options.missing, options.jobs)
    elif options.remedies:
        asked = {
            entry.key: (entry.case, entry.remedy) for entry in sick(diagnosed(options.remedies)) if entry.remedy
        }
        train.run_remedies(asked, file_of(options.remedies), options.jobs)
    else:
        figures.record("trainings", "diagnosis", COLUMNS, trainings(), options.print)
        figures.record("remedies", "diagnosis", ["held-out half", "trainings"], remedies(), options.print)
        print(figures.table(["cause", "sick", "flagged", "first cause right"], by_cause()))
