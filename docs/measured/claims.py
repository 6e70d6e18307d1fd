"""The numbers of the pages that come from hours of training: `optilab check docs/measured/claims.yaml`.

It prints the claims that fail, and for each page how many hold; it changes no file of the documentation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from docs.measured import figures

CLAIMS = Path(__file__).with_name("claims.yaml")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python docs/measured claims", description=__doc__)
    parser.add_argument("--only", default="*", metavar="NAME", help="entries of this name, or pattern")
    parser.add_argument("--out", type=Path, help="the directory of the runs, which are kept")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = options.out or Path(folder)
        line = [sys.executable, "-m", "optilab", "check", str(CLAIMS), "--only", options.only, "--json"]
        done = subprocess.run(line, cwd=place, stdout=subprocess.PIPE, text=True)
        (place / "claims.json").write_text(done.stdout)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for check in json.loads(done.stdout)["checks"]:
        count = counts[check["target"].partition(":")[0]]
        if "error" in check:
            print(f"{check['target']}: {check['error']['message']}")
        for claim in check.get("claims", []):
            count[0] += claim["result"] == "holds"
            count[1] += 1
            if claim["result"] != "holds":
                print(f"{check['target']}: {claim['claim']}: {claim['result']}, measured {claim['measured']}")
    rows: list[figures.Row] = [[page, count] for page, count in counts.items()]
    print(figures.table(["page", "claims that hold"], rows))
