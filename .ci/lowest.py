"""Print a pip constraints file with the lowest version that pyproject.toml allows of every package.

    python3 .ci/lowest.py > lowest.txt && pip install -c lowest.txt -e ".[dev]"

torch and torchvision are left out: their oldest allowed releases exist as CUDA builds of three gigabytes only, which is
too much to download in every CI run. They are tested at the version of constraints.txt.
"""

import re
import tomllib
from pathlib import Path

LEFT_OUT = {"torch", "torchvision"}

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
for requirement in sorted({*project["dependencies"], *extras}):
    if requirement.startswith("optilab["):  # an extra of other extras
        continue
    name, lowest = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement).groups()
    if name not in LEFT_OUT:
        print(f"{name}=={lowest}")
