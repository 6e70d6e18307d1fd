"""HTML pages from Jinja2 templates: each is one file that loads nothing and runs only its own scripts.

    page = render("report.html", data, [asset("uplot.js"), asset("report.js")], title=...)
    write_page(page_file("report.html"), page)

A page is safe to open whatever names and values it shows. Templates escape them; data for scripts is JSON in which no
character can end the element; and the content security policy forbids the network, and every script and style whose
hash it does not list.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optilab import __version__
from optilab.errors import DataError, UsageError, printable
from optilab.files import output_file, read_regular, write_atomic
from optilab.show.chart import DARK_COLORS, LIGHT_COLORS
from optilab.show.terminal import plain

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = '<meta name="generator" content="optilab'
"""In the head of every page: a file with this mark may be replaced."""

_FOLDER = Path(__file__).parent
_LARGEST = 64 << 20  # bytes, far more than a page has
_HEAD = 2_000  # bytes within which the mark stands
_IN_SCRIPTS = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def asset(name: str) -> str:
    """A script or style sheet of `optilab/show/assets`."""
    return (_FOLDER / "assets" / name).read_text(encoding="utf-8")


def render(
    template: str, data: Any, scripts: Sequence[str] = (), styles: Sequence[str] = (), **content: Any
) -> bytes:
    """A whole page from a template that extends `base.html`.

    `data` is what the scripts read with `JSON.parse(document.getElementById("data").textContent)`; null stands for
    numbers that are not finite. `scripts` and `styles` are source text, such as that of `asset`; `base.css` comes
    before the styles. `content` holds the template's variables, `title` among them.
    """
    sheets = [_palette(), asset("base.css"), *styles]
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
        .get_template(template)
        .render(
            policy="; ".join(f"{directive} {sources}" for directive, sources in policy.items()),
            version=__version__,
            styles=sheets,
            scripts=scripts,
            data=safe_json(data),
            **content,
        )
    )
    return text.encode("utf-8", "backslashreplace")


def _palette() -> str:
    """The colors of series as properties c0, c1, ..., those of picture files; dark as the reader's system asks."""
    light, dark = (
        " ".join(f"--c{i}: {color};" for i, color in enumerate(own)) for own in (LIGHT_COLORS, DARK_COLORS)
    )
    screen = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ {light} }}\n{screen} {{ :root:not(.paper) {{ {dark} }} }}\n"


def fragment(template: str, **content: Any) -> str:
    """A part of somebody else's page, such as a notebook: the template alone, without scripts and style sheets."""
    return _environment().get_template(template).render(**content)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters["base64"] = lambda content: b64encode(content).decode()
    environment.filters["printable"] = printable  # where `finalize` sees no plain text
    return environment


def safe_json(tree: Any) -> str:
    """JSON that a script element can hold: ASCII, and none of the characters that HTML acts on.

    Invisible and control characters of its texts are visible escapes, as in templates.
    """
    return json.dumps(_visible(plain(tree)), allow_nan=False, separators=(",", ":")).translate(_IN_SCRIPTS)


def _visible(tree: Any) -> Any:
    if isinstance(tree, str):
        return printable(tree)
    if isinstance(tree, dict):
        return {_visible(key): _visible(value) for key, value in tree.items()}
    return [_visible(item) for item in tree] if isinstance(tree, list) else tree


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
        ours = GENERATOR.encode() in read_regular(path, _LARGEST)[:_HEAD]
    except FileNotFoundError:
        ours = True
    except DataError:
        ours = False
    if not ours:
        raise UsageError(f"{file} exists and is not a page of optilab, so it is not replaced")
    return path


def write_page(path: Path, page: bytes) -> None:
    """Write a page, or replace an older one as a whole. SystemFailure where that fails."""
    write_atomic(path, page)
