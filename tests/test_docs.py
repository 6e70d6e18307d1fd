"""docs/optimizers.md tells what the registry holds; `python -m tests.test_docs` writes its tables anew."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from optilab.optimize import ALGORITHMS, FUNCTIONS
from optilab.verify.case import shown
from optilab.verify.correspondence import cases

PAGE = Path(__file__).parents[1] / "docs" / "optimizers.md"
START, END = "<!-- {} -->\n", "<!-- end of {} -->\n"


def rules():
    """One row per rule: name, fields, what it is and where it is from."""
    lines = ["| rule | fields and their defaults | what it is |", "|---|---|---|"]
    for name, kind in ALGORITHMS.items():
        hints, rule = get_type_hints(kind), kind()
        texts = []
        for f in fields(kind):
            value = getattr(rule, f.name)
            choices = f" ({', '.join(get_args(hints[f.name]))})" if get_origin(hints[f.name]) is Literal else ""
            shown_value = value.name if f.name == "base" else f"{value:g}" if isinstance(value, float) else value
            texts.append(f"`{f.name}` {shown_value}{choices}")
        title = kind.__doc__.split("\n\n")[0].replace("\n    ", " ")
        needs = f" Needs `{kind.needs[0]}`." if isinstance(kind.needs, tuple) and kind.needs else ""
        lines.append(f"| `{name}` | {'; '.join(texts)} | {title}{needs} |")
    return "\n".join(lines) + "\n"


def correspondence():
    """One row per form: what to write in torch.optim and optax for the same path."""
    lines = ["| rule | form | torch.optim | optax |", "|---|---|---|---|"]
    for case in cases():
        cells = []
        for library in ("torch", "optax"):
            reference, other = getattr(case, library), getattr(case, f"other_{library}")
            if isinstance(reference, str):
                cells.append("")
            elif other:
                cells.append(f"has {other.text}")
            else:
                cells.append(f"`{reference().text.removeprefix('torch.optim.').removeprefix('optax.')}`")
        lines.append(f"| `{case.name}` | {shown(case.settings)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def functions():
    """One row per test function."""
    lines = ["| function | f(w) | minima | source |", "|---|---|---|---|"]
    for name, kind in FUNCTIONS.items():
        function = kind()
        minima = "; ".join(f"({', '.join(f'{v:.6g}' for v in point)})" for point in function.minima) or "-"
        lines.append(f"| `{name}` | `{function.formula}` | {minima} | {function.source} |")
    return "\n".join(lines) + "\n"


TABLES = {"rules": rules, "correspondence": correspondence, "functions": functions}


def part(name):
    return re.compile(re.escape(START.format(name)) + ".*?" + re.escape(END.format(name)), flags=re.DOTALL)


def written(name):
    return START.format(name) + TABLES[name]() + END.format(name)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_is_what_the_registry_holds(name):
    pytest.importorskip("optax")
    assert part(name).search(PAGE.read_text())[0] == written(name)


def test_the_example_of_the_page_runs():
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(compile(example, str(PAGE), "exec"), {})


if __name__ == "__main__":
    page = PAGE.read_text()
    for name in TABLES:
        page = part(name).sub(lambda _, name=name: written(name), page)
    PAGE.write_text(page)
