"""The style of all pictures (light and dark, colours for the colour-blind), and writing them to files."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from optilab.errors import SystemFailure, UsageError

FORMATS = ("png", "svg", "pdf")

# Okabe & Ito (2008); yellow is too pale for lines on white, black is the text's.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_DARK = ("#56b4e9", "#e69f00", "#2fc79d", "#e79bc6", "#f0e442", "#ff7f50")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_MARKERS = (
    "o",
    "s",
    "^",
    "D",
    "v",
    "P",
    "X",
    "*",
    "<",
    "p",
    ">",
    "h",
)  # more than colours: dashes hide in a legend


@contextmanager
def look(dark: bool) -> Iterator[Any]:
    """Apply matplotlib's settings to the pictures made inside; yields the two colours (ink, ground)."""
    import matplotlib as mpl

    ink, ground = ("#e8e8e8", "#15181c") if dark else ("#202020", "#ffffff")
    settings: Any = {
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "savefig.facecolor": ground,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "font.size": 11,
        "legend.frameon": False,
        "legend.handlelength": 2.6,
        "figure.dpi": 120,
    }
    with mpl.rc_context(settings):
        yield ink, ground


def series(count: int, dark: bool) -> list[dict[str, Any]]:
    """Colour, dashes and marker of each of `count` lines: no two alike, not even in grey for the first four."""
    colours = _DARK if dark else _LIGHT
    dashes = [_DASHES[i // len(colours) % len(_DASHES)] for i in range(count)]
    looks = zip(cycle(colours), dashes, cycle(_MARKERS), strict=False)
    return [{"color": c, "linestyle": d, "marker": m} for c, d, m in islice(looks, count)]


def check(file: str, formats: tuple[str, ...] = FORMATS) -> Path:
    """The path of a picture to write; UsageError for an unknown format or a missing folder."""
    path = Path(file)
    if path.suffix.lower().lstrip(".") not in formats:
        endings = ", ".join(f".{name}" for name in formats)
        raise UsageError(f"{file}: the ending chooses the format, one of {endings}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{file}: there is no folder {path.absolute().parent}")
    return path


def save(figure: Any, file: str) -> None:
    """Write a figure; the same figure gives the same bytes. SystemFailure where the file cannot be written."""
    path = check(file)
    kind = path.suffix.lower().lstrip(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    import matplotlib as mpl

    try:
        with mpl.rc_context({"svg.hashsalt": "optilab", "svg.fonttype": "none"}):  # no random names; text as text
            figure.savefig(path, metadata=undated, bbox_inches="tight", dpi=150)
    except OSError as error:
        raise SystemFailure(f"cannot write {path}: {error.strerror or error}") from None


def png(figure: Any) -> bytes:
    """A figure as it stands in a page or a notebook."""
    content = BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", dpi=100)
    return content.getvalue()


def new(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure without a window, and its axes."""
    figure = empty(width, height)
    return figure, figure.subplots(1, columns, **options)


def empty(width: float, height: float) -> Any:
    """A figure without a window and without axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _picture()(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@cache
def _picture() -> Any:
    from matplotlib.figure import Figure

    class Picture(Figure):
        """A figure that a notebook shows, also one in which nobody has imported pyplot."""

        def _repr_png_(self) -> bytes:
            return png(self)

    return Picture
