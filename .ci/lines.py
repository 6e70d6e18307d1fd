"""Count code, docstrings and modules by package, next to the budget: `python .ci/lines.py [COMMIT]`.

A line of code is one that is neither blank nor only a comment nor part of a docstring. With a commit, its figures
stand next to those of the working tree.
"""

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]
GROUND = "ground"
BUDGET = {
    GROUND: 730, "config": 1400, "optimize": 2450, "verify": 650, "data": 350, "runs": 620, "train": 1700,
    "diagnose": 1000, "loop": 430, "study": 2650, "show": 1080, "commands": 4300,
}  # fmt: skip
"""Lines of code of each package; `ground` is the modules of optilab/ itself and cli."""
FORMER = {"watch": "loop", "verbs": "commands", "cli": GROUND}
"""A former name of a package, in commits of the past -> its name in the budget."""
OTHERS = {"JavaScript": 1200, "tests": 15500, "transcripts and golden numbers": 3500, "pages": 3400}
CEILING, MODULES = 19_000, 135


def measure(text: str) -> Counter[str]:
    """Lines of code, of docstrings, of comments, and blank ones, of a Python file."""
    kinds = ["blank" if not line.strip() else "comment" for line in text.splitlines()]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if (
            token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
            and token.string
        ):
            for row in range(token.start[0], token.end[0] + 1):
                kinds[row - 1] = "code"
    for node in ast.walk(ast.parse(text)):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            value = getattr(statement, "value", None)
            if (
                isinstance(statement, ast.Expr)
                and isinstance(value, ast.Constant)
                and isinstance(value.value, str)
            ):
                for row in range(statement.lineno, statement.end_lineno + 1):
                    kinds[row - 1] = "docstring"
    return Counter(kinds)


def package(path: PurePath) -> str:
    """The package of a module below optilab/, by the name that it has in the budget."""
    name = path.parts[1] if len(path.parts) > 2 else GROUND
    return FORMER.get(name, name)


def figures(files: dict[str, str]) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """(figures of each package, lines of what is not the package) of a tree: its paths and their texts."""
    packages: dict[str, Counter[str]] = {}
    others: Counter[str] = Counter()
    for name, text in files.items():
        path, lines = PurePath(name), len(text.splitlines())
        match path.parts[0], path.suffix:
            case "optilab", ".py":
                packages.setdefault(package(path), Counter()).update(measure(text) + Counter(modules=1))
            case "optilab", ".js":
                others["JavaScript"] += lines
            case "tests", ".py":
                others["tests"] += lines
            case "tests", ".txt" | ".json" | ".yaml" if path.parts[1] in ("recorded", "oracles"):
                others["transcripts and golden numbers"] += lines
            case (("docs" | "README.md"), ".md"):
                others["pages"] += lines
    return packages, others


def tree(commit: str | None) -> dict[str, str]:
    """Path -> text of every file that counts, in a commit or, without one, in the working tree."""
    listing = ["ls-files"] if commit is None else ["ls-tree", "-r", "--name-only", commit]
    names = [
        name
        for name in _git(*listing).split("\n")
        if name.endswith((".py", ".js", ".md", ".txt", ".json", ".yaml"))
    ]
    if commit is None:
        return {name: (ROOT / name).read_text() for name in names if (ROOT / name).is_file()}
    return {name: _git("show", f"{commit}:{name}") for name in names}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout


def main() -> None:
    commits = [*sys.argv[1:2], None]
    measured = [figures(tree(commit)) for commit in commits]
    heads = [commit or "now" for commit in commits]
    print(
        f"{'package':32}"
        + "".join(f"{head:>12}{'docstrings':>12}{'modules':>9}" for head in heads)
        + f"{'budget':>9}"
    )
    for name in [*BUDGET, *sorted(set().union(*(packages for packages, _ in measured)) - set(BUDGET))]:
        cells = (packages.get(name, Counter()) for packages, _ in measured)
        row = "".join(f"{cell['code']:12,}{cell['docstring']:12,}{cell['modules']:9}" for cell in cells)
        print(f"{name:32}{row}{BUDGET.get(name, 0):9,}")
    totals = [sum(packages.values(), Counter()) for packages, _ in measured]
    row = "".join(f"{total['code']:12,}{total['docstring']:12,}{total['modules']:9}" for total in totals)
    print(f"{'optilab':32}{row}{CEILING:9,} (at most {MODULES} modules)")
    for name, limit in OTHERS.items():
        print(f"{name:32}" + "".join(f"{others[name]:12,}{'':21}" for _, others in measured) + f"{limit:9,}")


if __name__ == "__main__":
    main()
