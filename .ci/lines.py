"""Count code, docstrings and modules by part of the repository: `python .ci/lines.py [COMMIT]`.

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
GROUND = "optilab: ground"
"""The modules of optilab/ itself."""
OTHERS = {"tests": "tests", "docs": "docs/measured", ".ci": ".ci", "configs": "configs"}
"""Python outside of the package, by its first directory."""


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


def part(path: PurePath) -> str:
    """The package below optilab/, or what else it belongs to."""
    if path.parts[0] == "optilab":
        return f"optilab: {path.parts[1]}" if len(path.parts) > 2 else GROUND
    return OTHERS.get(path.parts[0], path.parts[0])


def figures(files: dict[str, str]) -> tuple[dict[str, Counter[str]], Counter[str]]:
    """(figures of each part in Python, all lines of what is not Python) of a tree: its paths and their texts."""
    parts: dict[str, Counter[str]] = {}
    others: Counter[str] = Counter()
    for name, text in files.items():
        path, lines = PurePath(name), len(text.splitlines())
        match path.parts[0], path.suffix:
            case _, ".py" if path.parts[:2] != ("docs", "class"):  # some of whose submissions are no Python
                parts.setdefault(part(path), Counter()).update(measure(text) + Counter(modules=1))
            case "optilab", ".js":
                others["JavaScript, all lines"] += lines
            case "tests", ".txt" | ".json" | ".yaml":
                others["data of tests, all lines"] += lines
            case (("docs" | "README.md"), ".md"):
                others["pages, all lines"] += lines
    return parts, others


def tree(commit: str | None) -> dict[str, str]:
    """Path -> text of every file that counts, in a commit or, without one, in the working tree."""
    listing = ["ls-files"] if commit is None else ["ls-tree", "-r", "--name-only", commit]
    names = [
        name
        for name in _git(*listing).split("\n")
        if name.endswith((".py", ".js", ".md", ".txt", ".json", ".yaml"))
    ]
    if commit is None:
        return {name: (ROOT / name).read_text(encoding="utf-8") for name in names if (ROOT / name).is_file()}
    return {name: _git("show", f"{commit}:{name}") for name in names}


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", ROOT, *arguments], check=True, capture_output=True, encoding="utf-8"
    ).stdout


def main() -> None:
    commits = [*sys.argv[1:2], None]
    counted = [figures(tree(commit)) for commit in commits]
    heads = "".join(f"{commit or 'now':>12}{'docstrings':>12}{'modules':>9}" for commit in commits)
    print(f"{'part':32}{heads}")
    names = sorted(set().union(*(parts for parts, _ in counted)), key=lambda name: (":" not in name, name))
    package = [name for name in names if ":" in name]
    for name in [*package, "optilab", *names[len(package) :]]:
        below = package if name == "optilab" else [name]
        cells = [sum((parts.get(one, Counter()) for one in below), Counter[str]()) for parts, _ in counted]
        print(f"{name:32}" + "".join(f"{c['code']:12,}{c['docstring']:12,}{c['modules']:9}" for c in cells))
    for name in counted[-1][1]:
        print(f"{name:32}" + "".join(f"{others[name]:12,}{'':21}" for _, others in counted))


if __name__ == "__main__":
    main()
