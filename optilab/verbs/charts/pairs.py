"""Which rows of a comparison are alike, as a critical-difference diagram."""

import re
from collections import Counter

from optilab.show.chart import Chart, Mark, Panel, PanelRow, Points, Polyline, Scale
from optilab.study.comparison import RunComparison


def pairs_chart(side: RunComparison) -> Chart:
    """The mean and interval of each row, best on top, and below a bar for each letter, which joins the rows that cannot
    be told apart (Demsar 2006, of outcomes instead of mean ranks).

    A comparison of all pairs with an outcome.
    """
    assert side.comparison is not None
    ranked = side.comparison.ranked
    of_row = [re.findall(r"[a-z]\d*", side.letters[row.key]) for row in ranked]
    counts = Counter(letter for own in of_row for letter in own)
    letters = [letter for letter, count in counts.items() if count > 1]
    names = [*(side.candidates[row.key].label for row in ranked), *letters]
    height = {name: float(len(names) - place) for place, name in enumerate(names)}
    marks: list[Mark] = []
    for row in ranked:
        own = height[side.candidates[row.key].label]
        if row.summary.interval:
            marks.append(Polyline([*row.summary.interval], [own, own], 0, width=1.2))
        marks.append(Points([row.summary.mean], [own], "dot", 0, size=9))
    for letter in letters:
        means = [row.summary.mean for row, own in zip(ranked, of_row, strict=True) if letter in own]
        marks.append(Polyline([min(means), max(means)], [height[letter]] * 2, 1, width=4.0, dash="solid"))
    better = "higher" if side.measure.higher else "lower"
    outcome = Scale(
        f"{side.measure.name} ({better} is better)", unit="fraction" if side.measure.share else "", margin=0.04
    )
    rows = Scale(low=0.5, high=len(names) + 0.5, names=tuple(reversed(names)))
    return Chart(
        (PanelRow((Panel(tuple(marks), outcome, rows, "a bar joins rows that cannot be told apart"),)),),
        width=7.5,
        height=1.4 + 0.3 * len(names),
    )
