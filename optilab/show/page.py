"""HTML pages from Jinja2 templates: each is one file that loads nothing and runs only its own scripts.

    write_page(page_file("report.html"), render("Which rate?", answer.blocks()))

A page is safe to open whatever names and values it shows. Templates escape them; data for scripts is JSON in which no
character can end the element; and the content security policy forbids the network, and every script and style whose
hash it does not list.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from optilab import __version__
from optilab.errors import DataError, UsageError, printable
from optilab.files import output_file, read_regular, write_atomic
from optilab.proposals import in_python
from optilab.show.blocks import Block, Details, Hint, NextStep, Sentence, Verdict
from optilab.show.chart import DARK_COLORS, LIGHT_COLORS, Chart
from optilab.show.table import Column, Table
from optilab.show.terminal import json_value

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = '<meta name="generator" content="optilab'
"""A mark in the head of every page: a file with this mark may be replaced."""

_PACKAGE = Path(__file__).parent
_MAX_BYTES = 64 << 20  # bytes, far more than a page has
_HEAD = 2_000  # bytes within which the mark stands
_IN_SCRIPTS = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def asset(name: str) -> str:
    """A script or style sheet of `optilab/show/assets`, without indentation and comments."""
    text = (_PACKAGE / "assets" / name).read_text(encoding="utf-8")
    if name.endswith(".css"):
        text = re.sub(r"\s*([{};])\s*", r"\1", text)
    return re.sub(r"(?s:/\*.*?\*/)|^ +|^ *//.*\n|(?<=\n)\n+", "", text, flags=re.MULTILINE)


def render(title: str, blocks: Iterable[Block], dark: bool = False, large: bool = False) -> bytes:
    """The page of an answer, as UTF-8."""
    return render_parts(title, [Details("", blocks)], dark, large)


def render_parts(title: str, parts: Sequence[Details], dark: bool = False, large: bool = False) -> bytes:
    """The page of several answers, each below its heading, as UTF-8."""
    shown = [_part(part, part.title or title) for part in parts]
    return document("page.html", None, dark=dark, large=large, title=title, parts=shown)


def _part(part: Details, heading: str) -> Any:
    """An answer for templates: its verdict and its next step come first, and the numbers of its series are its own."""
    visible = [block for block in part.blocks if not (isinstance(block, Hint) or _repeats(block, heading))]
    first = [block for block in visible if isinstance(block, Verdict | NextStep)]
    rest = [block for block in visible if block not in first]
    return SimpleNamespace(title=part.title, blocks=[*first, *rest], series_numbers=_series_numbers(visible))


def _repeats(block: Block, title: str) -> bool:
    text = block.text if isinstance(block, Sentence) else block if isinstance(block, str) else ""
    return bool(text.strip()) and title.endswith(text.strip())


def fragment(blocks: Iterable[Block], most: int) -> str:
    """Blocks in the page of another program, such as a notebook, without scripts and style sheets: of details the
    charts, of tables `most` rows."""
    return _environment().get_template("notebook.html").render(blocks=_essential(blocks), most=most)


def _essential(blocks: Iterable[Block], charts: bool = False) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Details):
            yield from _essential(block.blocks, charts=True)
        elif isinstance(block, Chart) or not (charts or isinstance(block, Hint)):
            yield block


def _table(table: Table, most: int = 0) -> Any:
    """A table for templates: early columns come first; on a page, each interval has a place."""
    columns, cells = table.texts(most, settings=not most and len(table.rows) > MIN_ROWS_SORTED)
    order = sorted(range(len(columns)), key=lambda i: _place(columns[i]) if i else -1)
    columns, cells = [columns[i] for i in order], [[_typeset(texts[i]) for i in order] for texts in cells]
    if most:
        return SimpleNamespace(columns=columns, rows=cells)
    places = _intervals(table) if len(cells) > 1 else []
    rows = [
        SimpleNamespace(look=str(row.get(table.look, "")).replace(" ", "-"), cells=texts, place=place)
        for row, texts, place in zip_longest(table.rows, cells, places)
    ]
    split = sum(column.only != "values" for column in columns) if any(places) else 0
    return SimpleNamespace(columns=columns, rows=rows, split=split)


def _chart(chart: Chart) -> Any:
    """A chart for templates."""
    from optilab.show import chart_svg  # NumPy is slow to import

    return SimpleNamespace(
        title=chart_svg.title_line(chart),
        panels=chart_svg.figure(chart),
        series=chart_svg.switches(chart),
        signs=list(chart_svg.signs(chart)),
    )


def _picture(chart: Chart) -> str:
    from optilab.show import chart_file

    return b64encode(chart_file.png(chart_file.draw(chart))).decode()


MIN_ROWS_SORTED = 12
"""Rows from which a table has the settings, too, to be sorted by them."""


def _place(column: Column) -> int:
    """Early columns come first, and settings, which the name of a row has, last; chosen columns have their order."""
    return 0 if column.early or column.detail < 0 else 2 if column.only == "values" else 1


def _intervals(table: Table) -> list[tuple[float, ...] | None]:
    """The interval of each row and its middle, in percent of the range of all intervals; None without an interval."""
    intervals = []
    for row in table.rows:
        ends = [end for end in map(row.get, ("low", table.middle, "high")) if end is not None]
        intervals.append(ends if len(ends) == 3 else [])
    low, high = (pick((end for ends in intervals for end in ends), default=0.0) for pick in (min, max))
    span = high - low or 1.0
    return [tuple(round(100 * (end - low) / span, 1) for end in ends) or None for ends in intervals]


def _typeset(text: str) -> str:
    """A cell with a minus sign before a number."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "\u2212", text)


def _series_numbers(blocks: Iterable[Block]) -> dict[str, int]:
    """The series of all charts, by name, for the rows of tables that are about them."""
    series_numbers = dict[str, int]()
    for block in blocks:
        if isinstance(block, Details):
            series_numbers |= _series_numbers(block.blocks)
        elif isinstance(block, Chart):
            from optilab.show import chart_svg

            names = [name.removesuffix(" (diverged)") for name, _ in chart_svg.switches(block)]
            series_numbers |= {name: i for i, name in enumerate(names)}
    return series_numbers


USES = {"page.js": ("sortable", "copy", "chart"), "charts.js": ("chart",)}
"""The classes for which a page has a script."""


def document(
    template: str,
    data: Any,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    dark: bool = False,
    large: bool = False,
    **content: Any,
) -> bytes:
    """A whole page from a template of its body; `dark` whatever the reader's system asks, `large` when it opens.

    `data` is what the scripts read with `JSON.parse(document.getElementById("data").textContent)`; null stands for
    numbers that are not finite. `scripts` and `styles` are source text, such as that of `asset`, which come after what
    every page has. `content` holds the template's variables, `title` among them.
    """
    body = _environment().get_template(template).render(version=__version__, **content)
    classes = {name for names in re.findall(r'class="([^"]*)"', body) for name in names.split()}
    common = [asset(name) for name, uses in USES.items() if classes.intersection(uses)]
    palette = [_palette()] if scripts or "chart" in classes else []
    look = "dark" if dark else ""
    sheets = [*palette, asset("page.css"), *styles]
    if not scripts:  # which may make elements of any class
        sheets = [_used(sheet, "".join([look, " large ", body, *common])) for sheet in sheets]
    scripts = [*common, *scripts]
    policy = {
        "default-src": "'none'",
        "script-src": _hashes("script", scripts),
        "style-src": _hashes("style", sheets),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    text = (
        _environment()
        .get_template("base.html")
        .render(
            policy="; ".join(f"{directive} {sources}" for directive, sources in policy.items()),
            version=__version__,
            title=content["title"],
            look=look,
            large=large,
            styles=sheets,
            scripts=scripts,
            data=data and safe_json(data),
            body=body,
        )
    )
    return text.encode("utf-8", "backslashreplace")


def _used(sheet: str, page: str) -> str:
    """The rules of a style sheet with a selector whose classes and identifiers all stand in a page."""
    words = set(re.findall(r"[\w-]+", page))

    def rule(match: re.Match[str]) -> str:
        selectors = match[1].split(",")
        return (
            match[0]
            if any(words.issuperset(re.findall(r"[.#]([a-z][\w-]*)", selector)) for selector in selectors)
            else ""
        )

    return re.sub(r"([^{}]+)\{[^{}]*\}\n?", rule, sheet)


def _palette() -> str:
    """The colors of series as properties c0, c1, ..., those of picture files."""
    pairs = enumerate(zip(LIGHT_COLORS, DARK_COLORS, strict=True))
    colors = " ".join(f"--c{i}: light-dark({light}, {dark});" for i, (light, dark) in pairs)
    return f":root {{ {colors} }}\n"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.globals |= {"table_of": _table, "chart_of": _chart, "picture_of": _picture, "in_python": in_python}
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment


def safe_json(tree: Any) -> str:
    """JSON that a script element can hold: ASCII, and none of the characters that HTML acts on.

    Invisible and control characters of its texts are visible escapes, as in templates.
    """
    return json.dumps(
        _escape_control_characters(json_value(tree)), allow_nan=False, separators=(",", ":")
    ).translate(_IN_SCRIPTS)


def _escape_control_characters(tree: Any) -> Any:
    if isinstance(tree, str):
        return printable(tree)
    if isinstance(tree, dict):
        return {_escape_control_characters(key): _escape_control_characters(value) for key, value in tree.items()}
    return [_escape_control_characters(item) for item in tree] if isinstance(tree, list) else tree


def _hashes(element: str, texts: Sequence[str]) -> str:
    """The sources of a policy that allow these inline elements and no other."""
    for text in texts:
        if f"</{element}" in text.lower() or "<!--" in text or "\r" in text or "\0" in text:
            raise ValueError(f"text that cannot stand in a {element} element")
    digests = (b64encode(sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


# --- files -------------------------------------------------------------------------------------------------


def page_file(file: str, where: str = "") -> Path:
    """The path of a page to write: new, or an older page of optilab.

    UsageError for another ending than .html, a missing directory, and a file that is not a page of optilab.
    """
    path = output_file(file, (".html", ".htm"), where)
    try:
        is_optilab_page = GENERATOR.encode() in read_regular(path, _MAX_BYTES)[:_HEAD]
    except FileNotFoundError:
        is_optilab_page = True
    except DataError:
        is_optilab_page = False
    if not is_optilab_page:
        raise UsageError(f"{file} exists and is not a page of optilab, so it is not replaced")
    return path


def write_page(path: Path, page: bytes) -> None:
    """Write a page, or replace an older one as a whole. SystemFailure where that fails."""
    write_atomic(path, page)
