"""The programs that measure optilab: `python docs/measured NAME`; without a name, what there is.

Each prints its tables and puts them into figures.json and docs/measured.md, with `--print` only the former.
"""

import importlib
import os
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
sys.path.insert(0, ROOT)
os.environ["PYTHONPATH"] = ROOT  # the processes that a program starts measure this checkout, too
os.environ.pop("OPTILAB_RUNS", None)

PROGRAMS = {
    "diagnosis": "the diagnosis of trainings whose cause is known; trains and draws them, too",
    "loops": "the same of loops of plain PyTorch under `optilab.watch`",
    "paired_loops": "loops for findings that no loop of `loops` has, with the fault and without it",
    "sound_loops": "loops that are sound and learn, but look faulty; each is trained without a watch",
    "drawn_faults": "drawn loops with a fault of the output, loss, targets or inputs, and their twins",
    "real_programs": "published faulty programs, broken and mended, next to other tools",
    "refinements": "each check of the diagnosis, and each refinement of one, left out in turn",
    "peers": "other tools on the same loops",
    "error_rates": "how often verdicts and intervals err, and what they find",
    "rates": "what the recommended learning rate loses, and benchmarks of an optimizer against itself",
    "speed": "epochs, starts, studies, maps and watched steps, next to what they replace",
    "growth": "what commands cost with up to 10,000 runs",
    "mutants": "small changes to the package, or to the rules, that nothing notices",
    "claims": "the numbers of the pages that come from hours of training; a table that is printed only",
    "page": "docs/measured.md from figures.json, without measuring",
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in PROGRAMS:
        print(__doc__)
        for program, title in PROGRAMS.items():
            print(f"{program:14}{title}")
        raise SystemExit(2 if name else 0)
    module = "diagnosis.measure" if name == "diagnosis" else "figures" if name == "page" else name
    importlib.import_module(f"docs.measured.{module}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
