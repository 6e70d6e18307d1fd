"""One table in every format: the same cells, and names that mean harm stay text in each."""

import csv
import io
import re
import string

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from optilab.errors import UsageError
from optilab.show import terminal
from optilab.show.page import render
from optilab.show.table import Column, Table, interval_columns, latex, markdown, show
from tests.kit.hostile import HOSTILE, LIVE

COLUMNS = [
    Column("name", "name", left=True),
    Column("value", "value", "{:+.1f} %".format),
    Column("exact", "", only="values"),
    Column("words", "in words", only="text"),
]
ROWS = [
    {"name": "a_b & 50%", "value": -1.25, "exact": 0.1 + 0.2, "words": "low"},
    {"name": "plain", "value": None, "exact": None, "words": "none"},
]


def written(format, rows=ROWS, columns=COLUMNS):
    return Table(columns, rows).text(format)


def test_formats():
    assert written("table") == (
        "name         value   in words\na_b & 50%   -1.2 %        low\nplain                    none\n"
    )
    assert written("csv") == "name,value,exact\na_b & 50%,-1.25,0.30000000000000004\nplain,,\n"
    assert written("markdown") == (
        "| name | value | in words |\n| :-- | --: | --: |\n"
        "| a\\_b &amp; 50% | -1.2 % | low |\n| plain |  | none |\n"
    )
    assert written("latex") == (
        "% needs \\usepackage{booktabs}\n\\begin{tabular}{lrr}\n\\toprule\nname & value & in words \\\\\n\\midrule\n"
        "a\\_b \\& 50\\% & $-$1.2\\,\\% & low \\\\\nplain &  & none \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_a_page_shows_what_the_table_says_of_its_values():
    """Early columns next to the name, the middle of each interval, the look of each row."""
    columns = [
        Column("name", "name"),
        Column("n", "n"),
        Column("level", "level", early=True),
        *interval_columns("", str),
    ]
    ends = [{"low": low, "high": low + 2, "interval": (low, low + 2)} for low in (0, 2)]
    rows = [
        {"name": "a", "n": 3, "level": 1, "state": "best"} | ends[0],
        {"name": "b", "n": 3, "level": 3} | ends[1],
    ]
    shown = render("title", [Table(columns, rows, middle="level", look="state")]).decode()
    assert re.findall('<th scope="col"[^>]*>([^<]*)', shown) == ["name", "level", "n", "95% interval", "interval"]
    assert re.findall('<tr class="([^"]*)"', shown) == ["best"]
    assert re.findall('<circle cx="([^"]*)"', shown) == ["25.0", "75.0"]
    assert "<circle" not in render("title", [Table(columns, rows)]).decode()


def test_columns_are_chosen_and_ordered():
    """By key or by heading, in every format; also those that the format does not show otherwise."""
    table = Table(COLUMNS, ROWS).choose(["in words", "exact", "name"])
    assert table.text("csv") == "words,exact,name\nlow,0.30000000000000004,a_b & 50%\nnone,,plain\n"
    assert table.text("markdown").startswith("| in words | exact | name |\n| --: | --: | :-- |\n| low | 0.3000")
    with pytest.raises(UsageError, match="got 'valu'; did you mean \"value\""):
        Table(COLUMNS, ROWS).choose(["name", "valu"])


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_name_stays_text(payload):
    columns, rows = (
        [Column("name", "name", left=True), Column("value", "value")],
        [{"name": payload, "value": 1.5}],
    )
    for format in ("table", "csv", "markdown", "latex"):
        assert not LIVE & set(written(format, rows, columns)), format

    (name, value), *more = list(csv.reader(io.StringIO(written("csv", rows, columns))))[1:]
    assert not more
    assert not name.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert value == "1.5"

    tokens = (
        MarkdownIt("commonmark", {"html": True})
        .enable(["table", "strikethrough"])
        .parse(written("markdown", rows, columns))
    )
    cells = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens if token.type.startswith("html")] == []
    assert len(cells) == 4
    assert {child.type for cell in cells for child in cell.children} <= {"text", "text_special"}

    body = written("latex", rows, columns).splitlines()[5]
    assert body.endswith(" & 1.5 \\\\")
    assert _is_inert_latex(body.removesuffix(" & 1.5 \\\\"))


def _is_inert_latex(text):
    """Nothing is left of LaTeX's ten special characters once the commands that print one are taken out."""
    rest = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]", "", text)
    return not set(rest) & set("\\{}$&#%_~^")


def test_class_of_a_file_is_written_as_it_is():
    assert markdown("erik.py:Adam") == "erik.py:Adam"
    assert markdown("https://a.b") == "https\\://a.b"
    assert markdown(":smile:") == "\\:smile\\:"


def test_every_ascii_character_stays():
    (paragraph,) = (t for t in MarkdownIt().parse(f"x{markdown(string.punctuation)}") if t.type == "inline")
    assert "".join(child.content for child in paragraph.children) == f"x{string.punctuation}"
    assert _is_inert_latex(latex(string.punctuation))
    assert not _is_inert_latex(string.punctuation)


def test_narrow_terminal_gets_the_columns_that_matter(capsys, monkeypatch):
    columns = [
        Column("name", "name", left=True),
        Column("low", "a long heading", detail=1),
        Column("high", "another heading", detail=2),
        Column("verdict", "verdict", left=True),
    ]
    rows = [{"name": "x" * 10, "low": 1, "high": 2, "verdict": "worse"}]
    for width, headings in (
        (80, ["name", "a long heading", "another heading", "verdict"]),
        (40, ["name", "a long heading", "verdict"]),
        (25, ["name", "verdict"]),
    ):
        monkeypatch.setattr(terminal, "out", Console(force_terminal=True, width=width, color_system=None))
        show(Table(columns, rows))
        assert re.split(" {2,}", capsys.readouterr().out.splitlines()[0].strip()) == headings
