"""Write every generated file: tables of docs, the schemas of configs, what editors see of `Lab`, docs/measured.md.

python .ci/generate.py            write them, the trajectories of optimizers included
python .ci/generate.py --check    name those that differ, and fail
python .ci/generate.py --outputs  also the outputs of commands that pages show; it runs these commands
python .ci/generate.py --pictures also the pictures of docs/gallery.md, by its commands
"""

import inspect
import re
import sys
import tempfile
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Literal, get_args, get_origin, get_type_hints

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import schema  # noqa: E402
import trajectories  # noqa: E402
import yaml  # noqa: E402
from PIL import Image  # noqa: E402

from docs.measured import figures  # noqa: E402
from optilab import answer as answers  # noqa: E402
from optilab import commands  # noqa: E402
from optilab.annotations import Argument, ConfigKey, Flag, Read  # noqa: E402
from optilab.data.catalog import DATASETS  # noqa: E402
from optilab.diagnose.checks import CHECKS, loop, outputs  # noqa: E402
from optilab.lab import METHODS, Lab, command_of, keywords  # noqa: E402
from optilab.optimize import OBJECTIVES, RULES  # noqa: E402
from tests.kit.pages import PAGES, answer, renewed, scripts  # noqa: E402
from tests.oracles.calls import EQUATIONS, FORMS, LIBRARIES  # noqa: E402

SCHEMA = ROOT / "configs" / "schema"
STUB = ROOT / "optilab" / "methods.pyi"
PACKAGES = (answers.__path__, "optilab.answer."), (commands.__path__, "optilab.commands.")
SCHEMAS = ("optimize", "train", "sweep", "remedy", "benchmark", "race", "check")

# --- tables of pages ---

START, END = "<!-- {} -->\n", "<!-- end of {} -->\n"


TRAJECTORIES = trajectories.pictures()


def rules():
    """One entry per rule: source, use, trajectory, its formula with these settings, its fields, other libraries."""
    good_for = yaml.safe_load((ROOT / "docs" / "optimizers.yaml").read_text(encoding="utf-8"))
    entries = []
    for name, kind in RULES.items():
        hints, rule = get_type_hints(kind), kind()
        texts = []
        for f in fields(kind):
            value = getattr(rule, f.name)
            choices = f" ({', '.join(get_args(hints[f.name]))})" if get_origin(hints[f.name]) is Literal else ""
            shown_value = value.name if f.name == "base" else f"{value:g}" if isinstance(value, float) else value
            texts.append(f"`{f.name}` {shown_value}{choices}")
        title = kind.__doc__.split("\n\n")[0].replace("\n    ", " ")
        formula = rule.formula.replace(";  ", "\n")
        defaults = [f"Defaults: {', '.join(texts)}."] if texts else []
        picture = [f"![Trajectory of {name}](pictures/optimizers/{name}.svg)"] if name in TRAJECTORIES else []
        parts = [
            f"### {name}",
            f"{title} Good for: {good_for[name]}.",
            *picture,
            f"```text\n{formula}\n```",
            *defaults,
        ]
        entries += [*parts, "\n".join(f"* {line}" for line in elsewhere(name))]
    return "\n\n".join(entries) + "\n\n"


def elsewhere(name):
    """A line for each form of a rule: its calls in other libraries, or the equations that it is compared with."""
    forms = {}
    for form in FORMS:
        rule, _, settings = form.partition(" ")
        if rule == name:
            calls = {library: table[form] for library, table in LIBRARIES.items() if form in table}
            texts = [call if library in call else f"{library}.{call}" for library, call in calls.items()]
            text = ", ".join(f"`{text}`" for text in texts) or EQUATIONS[form].__doc__.rstrip(".")
            forms.setdefault(text, []).append(f"`{settings}`" if settings else "")
    return [f"{', '.join(settings)}: {text}" if any(settings) else text for text, settings in forms.items()]


def functions():
    """One row per test function."""
    lines = ["| function | f(w) | minima | source |", "|---|---|---|---|"]
    for name, kind in OBJECTIVES.items():
        function = kind()
        minima = "; ".join(f"({', '.join(f'{v:.6g}' for v in point)})" for point in function.minima) or "-"
        source = function.source.replace("|", r"\|")
        lines.append(f"| `{name}` | `{function.formula}` | {minima} | {source} |")
    return "\n".join(lines) + "\n"


def datasets():
    """One row per dataset: its sizes, and where it is from."""
    lines = ["| `data.dataset` | images | classes | train | test | source |", "|---|---|---|---|---|---|"]
    for name, info in DATASETS.items():
        sizes = f"{' x '.join(map(str, info.shape))} | {len(info.classes)} | {info.train:,} | {info.test:,}"
        title = "" if info.title == name else f"{info.title}, "
        lines.append(
            f"| `{name}` | {'yours | yours | yours | yours' if info.is_custom else sizes} | {title}{info.source} |"
        )
    return "\n".join(lines) + "\n"


OF_LOOPS = (loop.__name__, outputs.__name__)


def findings():
    """One entry per finding of a training: what its checks see, and what helps."""
    return _findings([check for check in CHECKS if check.run.__module__ not in OF_LOOPS])


def findings_of_loops():
    """The same of the bugs of loops."""
    return _findings([check for check in CHECKS if check.run.__module__ in OF_LOOPS])


def _findings(of):
    entries = []
    for name in dict.fromkeys(check.name for check in of):
        same = [check for check in of if check.name == name]
        texts = "\n".join(f"* {check.text.replace('|dw|/|w|', 'dw/w').rstrip('.')}." for check in same)
        entries += [f"### {name}", texts, f"Remedy: {same[0].fix}."]
    return "\n\n".join(entries) + "\n\n"


def documents():
    """One heading per document of `--json`: the commands that print it, and its keys."""
    _, *blocks = (ROOT / "tests" / "recorded" / "documents.txt").read_text(encoding="utf-8").rstrip().split("\n\n")
    names = (block.partition("\n") for block in blocks)
    return "".join(f"## {name}\n\n```text\n{lines}\n```\n\n" for name, _, lines in names)


LISTED = yaml.safe_load((ROOT / "docs" / "pages.yaml").read_text(encoding="utf-8"))["pages"]


def pages():
    """One row per page."""
    lines = ["| page | subject |", "|---|---|"]
    for group, names in LISTED.items():
        lines.append(f"| **{group}** | |")
        lines += [f"| [{name}.md]({name}.md) | {subject} |" for name, subject in names.items()]
    return "\n".join(lines) + "\n"


def groups():
    """One row per group of pages."""
    lines = ["| | |", "|---|---|"]
    for group, names in LISTED.items():
        lines.append(f"| **{group}** | {', '.join(f'[{name}](docs/{name}.md)' for name in names)} |")
    return "\n".join(lines) + "\n"


TABLES = {
    "README.md": {"pages": groups},
    "docs/README.md": {"pages": pages},
    "docs/data.md": {"datasets": datasets},
    "docs/optimizers.md": {"rules": rules},
    "docs/functions.md": {"functions": functions},
    "docs/documents.md": {"documents": documents},
    "docs/diagnose.md": {"findings": findings},
    "docs/watch.md": {"findings": findings_of_loops},
}


def place(name):
    return re.compile(re.escape(START.format(name)) + ".*?" + re.escape(END.format(name)), flags=re.DOTALL)


def written(name, table):
    return START.format(name) + table() + END.format(name)


# --- the methods of Lab ---


def methods():
    """The signatures of the methods of `Lab` for editors and type checkers: those that Python makes, with types."""
    lines = ['"""The methods of `Lab`, which .ci/generate.py writes from the requests of commands."""', ""]
    lines += ["import os", "from collections.abc import Mapping, Sequence", "from typing import Any, Literal", ""]
    modules = [import_module(module.name) for package in PACKAGES for module in iter_modules(*package)]
    requests = {name: command_of(name) for name in METHODS}
    answers = {name: _answer(request) for name, request in requests.items()}
    kinds = sorted({kind for answer in answers.values() for kind in answer.split(" | ")})
    for module in modules:
        if defined := [
            kind for kind in kinds if getattr(vars(module).get(kind), "__module__", "") == module.__name__
        ]:
            lines.append(f"from {module.__name__} import {', '.join(defined)}")
    lines += ["", "Text = str | float | os.PathLike[str]", "", "class Methods:"]
    for name, request in requests.items():
        lines.append(f"    def {name}(")
        known, separated = keywords(name), False
        for parameter in inspect.signature(getattr(Lab, name)).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY and not separated:
                lines, separated = [*lines, "        *,"], True
            field, default = known.get(parameter.name), "" if parameter.default is parameter.empty else " = ..."
            text = "bool | None" if field is None else _type(field)
            lines.append(f"        {parameter.name}{f': {text}{default}' * (parameter.name != 'self')},")
        if request.READS and request.STUDY_KEYS is None:  # other keywords are keys of the config
            lines.append("        **keys: Any,")
        lines.append(f"    ) -> {answers[name]}: ...")
    return "\n".join([*lines, ""])


def _answer(request):
    """The type of the answers of a request, as text."""
    hint = request.run.__annotations__["return"]
    return hint if isinstance(hint, str) else hint.__name__


def _type(field):
    """The type of a keyword: numbers, switches and choices are checked by it, and what a command reads is anything."""
    flag, texts = field.mark(Flag) or Flag(), {bool: "bool", int: "int", float: "float", str: "Text"}
    texts |= {list: "Text | Sequence[Any]", tuple: "Text | Sequence[Any]", dict: "Mapping[str, Any]"}
    is_read = field.mark(Read) or isinstance(flag, Argument) or flag.complete == "run"
    if is_read or (field.mark(ConfigKey) and str in field.kinds):
        return "Any"
    parts = []
    for kind in field.kinds:
        if get_origin(kind) is Literal:
            parts.append(f"Literal[{', '.join(f'{choice!r}' for choice in get_args(kind))}]".replace("'", '"'))
        elif (origin := get_origin(kind) or kind) in texts:
            parts.append(texts[origin])
        elif kind is not type(None):
            return "Any"
    return " | ".join([*dict.fromkeys(" | ".join(parts).split(" | ")), "None"])


# --- files ---


def generated() -> dict[Path, str]:
    """Each generated file and the text that it has to have."""
    texts = {figures.PAGE: figures.page(), SCHEMA / "optilab.schema.json": schema.json_schema(), STUB: methods()}
    for kind in SCHEMAS:
        texts[SCHEMA / f"{kind}.schema.json"] = schema.schema_of_kind(kind)
    for name, picture in TRAJECTORIES.items():
        texts[ROOT / "docs" / "pictures" / "optimizers" / f"{name}.svg"] = picture
    for page, tables in TABLES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        for name, table in tables.items():
            text = place(name).sub(lambda _, name=name, table=table: written(name, table), text)
        texts[path] = text
    return texts


def pictures(folder: Path) -> None:
    """Run the commands of the gallery, and put what they draw next to the other pictures."""
    gallery = ROOT / "docs" / "gallery.md"
    for block in scripts(gallery):
        for line in block.splitlines():
            answer(line, folder)
    for picture in folder.glob("*.png"):
        with Image.open(picture) as image:
            image.thumbnail((1600, 1600))
            image.convert("RGB").quantize(64).save(gallery.parent / "pictures" / picture.name, optimize=True)


def main() -> None:
    different = {
        path: text
        for path, text in generated().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in sys.argv:
        for path in different:
            print(f"{path.relative_to(ROOT)} is not what .ci/generate.py writes")
        raise SystemExit(bool(different))
    for path, text in different.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    for page in PAGES if "--outputs" in sys.argv else ():
        with tempfile.TemporaryDirectory() as folder:
            page.write_text(renewed(page, Path(folder)), encoding="utf-8", newline="\n")
    if "--pictures" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            pictures(Path(folder))


if __name__ == "__main__":
    main()
