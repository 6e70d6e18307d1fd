"""The figures of docs/measured.md: figures.json holds all of them, and the page's tables are made from it."""

import argparse
import datetime
import json
import math
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES, PAGE = Path(__file__).with_name("figures.json"), ROOT / "docs" / "measured.md"
PLACE = "<!-- {} -->\n{}"

Row = list[str | float | list[int]]
"""A text, a number, or a part and its whole, which the page shows with its 95% interval."""


def read() -> dict[str, dict[str, Any]]:
    """Name -> `columns`, `rows`, and where they are from: `program`, `commit`, `date`, `machine`."""
    document: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text())
    return document


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """The options that all programs have."""
    result = argparse.ArgumentParser(prog=f"python docs/measured {program}", description=description)
    result.add_argument("--print", action="store_true", help="print the tables and leave figures.json as it is")
    return result


def record(
    name: str, program: str, columns: list[str], rows: list[Row], only_print: bool = False, source: str = ""
) -> None:
    """Print a table; put it into figures.json and the page. `source`: where its numbers lay until now."""
    print(table(columns, rows), flush=True)
    if not only_print:
        made = {"program": program, "commit": commit(), "date": str(datetime.date.today()), "machine": machine()}
        made |= {"source": source} if source else {}
        write({**read(), name: {**made, "columns": columns, "rows": rows}})
        PAGE.write_text(page())


def commit() -> str:
    """The last commit that changed the package; a plus sign says that the package differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "optilab")
    return git("log", "-1", "--format=%h", "--", "optilab") + ("+" if changed else "")


def machine() -> str:
    """The number of cores, and the processor's name where Linux tells it."""
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", facts.read_text() if facts.exists() else "", re.MULTILINE)
    return f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}"


def write(document: dict[str, dict[str, Any]]) -> None:
    """JSON with a line for each row."""
    parts = []
    for name, figure in document.items():
        facts = {key: value for key, value in figure.items() if key != "rows"}
        rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in figure["rows"])
        parts.append(f'"{name}": {json.dumps(facts, ensure_ascii=False)[:-1]}, "rows": [\n  {rows}]}}')
    FIGURES.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def page() -> str:
    """The text of docs/measured.md with its tables as figures.json has them, which may have more."""
    text = PAGE.read_text()
    for name, figure in read().items():
        place = re.compile(PLACE.format(re.escape(name), r".*?^\*.*?\*\n"), re.DOTALL | re.MULTILINE)
        source = f"; taken from {figure['source']}" if "source" in figure else ""
        origin = f"{figure['program']}, {figure['date']}, commit {figure['commit']}, {figure['machine']}{source}"
        content = f"{table(figure['columns'], figure['rows'])}\n*{origin}*\n"
        text = place.sub(PLACE.format(name, content).replace("\\", r"\\"), text)
    return text


def table(columns: list[str], rows: list[Row]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *([_cell(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(cell: str | float | list[int]) -> str:
    if isinstance(cell, list):
        part, whole = cell
        low, high = interval(part, whole)
        return f"{part} of {whole} ({part / whole:.0%}; {low:.0%} to {high:.0%})" if whole else "none"
    return cell if isinstance(cell, str) else f"{cell:g}"


def interval(part: int, whole: int) -> tuple[float, float]:
    """The 95% interval of a binomial proportion (Wilson 1927); 0 to 1 without any."""
    if not whole:
        return 0.0, 1.0
    z, proportion = 1.959964, part / whole
    middle = proportion + z * z / (2 * whole)
    spread = z * math.sqrt(proportion * (1 - proportion) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return (middle - spread) / scale, min(1.0, (middle + spread) / scale)


def main(arguments: list[str]) -> None:
    """Write the page again."""
    parser("page", main.__doc__).parse_args(arguments)
    PAGE.write_text(page())
