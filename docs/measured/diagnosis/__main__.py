"""Train the labelled cases anew: python -m tests.diagnosis [--half HALF] [--only CASE] [--missing] [--jobs N]."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.diagnosis import generate, measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.diagnosis", description=__doc__)
    parser.add_argument("--half", choices=measure.HALVES, action="append", help="one half of the cases")
    parser.add_argument("--only", default="", metavar="CASE", help="the cases whose name begins so")
    parser.add_argument("--missing", action="store_true", help="the cases that are not stored")
    parser.add_argument("--remedies", action="store_true", help="the first remedies of the flagged cases instead")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once")
    options = parser.parse_args()
    for half in options.half or measure.HALVES:
        if options.remedies:
            remedy(half, options.missing, options.jobs)
        else:
            train(half, options.only, options.missing, options.jobs)


def train(half: str, only: str, missing: bool, jobs: int) -> None:
    """Train cases of one half and store what they record beside the others."""
    path = generate.HERE / f"{half}.json.gz"
    known = {case.name: case for case in measure.HALVES[half]()}
    stored = {name: entry for name, entry in generate.read(path).items() if name in known} if path.exists() else {}
    wanted = [c for name, c in known.items() if name.startswith(only) and not (missing and name in stored)]
    with ProcessPoolExecutor(jobs) as pool:
        names = {pool.submit(generate.run, case): case.name for case in wanted}
        for number, job in enumerate(as_completed(names), 1):
            stored[names[job]] = job.result()
            print(f"{half} {number}/{len(wanted)} {names[job]}", file=sys.stderr)
            if number % 10 == 0 or number == len(wanted):
                generate.write(path, stored)


def remedy(half: str, missing: bool, jobs: int) -> None:
    """Run the first remedy of each flagged case of a half, of two causes both; store the last row; empty where it
    diverges."""
    path = measure.OWN_REMEDIES if half in measure.OWN else measure.REMEDIES
    entries = {measure.remedy_key(entry): entry for entry in measure.look(half) if entry.truth == "sick"}
    entries.pop(None, None)
    known = generate.read(path) if path.exists() else {}
    with ProcessPoolExecutor(jobs) as pool:
        names = {
            pool.submit(generate.remedied, entry.case, measure.remedy(entry)): key
            for key, entry in entries.items()
            if not (missing and key in known)
        }
        for number, job in enumerate(as_completed(names), 1):
            known = generate.read(path) if path.exists() else {}
            known[names[job]] = job.result()
            print(f"{half} {number}/{len(names)} {names[job]}", file=sys.stderr)
            generate.write(path, known)


if __name__ == "__main__":
    main()
