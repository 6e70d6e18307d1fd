"""What everything pluggable promises: a class of properties for each kind. A subclass says which thing it is about.

@pytest.mark.parametrize("rule", forms(RULES["adam"]), ids=str)
class TestAdam(RuleContract): ...
"""

import json
import re
from base64 import b64encode
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import islice, product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_allclose

from optilab.optimize import OBJECTIVES, RULES
from optilab.optimize.path import worked_steps

few_examples = settings(max_examples=5, suppress_health_check=[HealthCheck.differing_executors])

# --- update rules ------------------------------------------------------------------------------------------

LINE_SEARCH = {"l-bfgs", "conjugate-gradient"}
"""Rules whose formula is a sentence, and which follow one start at a time."""
GRADIENTS = arrays.arrays(
    np.float64, (6, 3), elements=st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-3)
)
START = np.array([1.0, -2.0, 0.5])


def forms(kind: Any) -> list[Any]:
    """The rule in every combination of its texts and switches; a rule for matrices with one of them changed."""
    hints = get_type_hints(kind)
    choices = {
        f.name: get_args(hints[f.name]) if get_origin(hints[f.name]) is Literal else (False, True)
        for f in fields(kind)
        if get_origin(hints[f.name]) is Literal or hints[f.name] is bool
    }
    combined = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    if kind.weights == "matrices":
        usual = vars(kind())
        combined = [c for c in combined if sum(usual[name] != value for name, value in c.items()) <= 1]
    return [kind(**one) for one in combined]


def walk(rule: Any, x: Any, gradients: Any, hessians: Any = None) -> list[Any]:
    """The points of a rule that gets these gradients; more than a gradient is that of a quadratic function."""
    state, points = rule.init(x), []
    for t, gradient in enumerate(gradients):
        quantities = _quantities(x, gradient, hessians[t]) if rule.needs else {}
        needed = {name: quantities[name] for name in rule.needs}
        x, state = rule.step(x, gradient, t + 1, state, **needed)
        points.append(x)
    return points


def _quantities(x: Any, gradient: Any, hessian: Any) -> dict[str, Any]:
    return {
        "f": (gradient**2).sum(-1)[..., None],
        "H": hessian,
        "diagonal": lambda point: hessian.diagonal(0, -2, -1),
        "grad": lambda point: gradient + (hessian @ (point - x)[..., None])[..., 0],
    }


def follow(rule: Any, gradient: Any, x: Any, steps: int) -> Any:
    """The points (steps, ...) of a rule that needs the gradient alone, which is a function of the point."""
    state, points = rule.init(x), []
    for t in range(1, steps + 1):
        x, state = rule.step(x, gradient(x), t, state)
        points.append(x)
    return np.stack(points)


def symmetric(random: np.random.Generator, count: int, size: int) -> Any:
    """Drawn Hessians, with curvature of both signs."""
    halves = random.normal(0, 1, (count, size, size))
    return halves + np.swapaxes(halves, -1, -2)


class RuleContract:
    """Every rule is a value, and its printed formula is what runs."""

    def test_rule_is_a_frozen_value(self, rule):
        assert is_dataclass(rule)
        assert rule == replace(rule)
        assert RULES[rule.name] is type(rule)
        with pytest.raises(AttributeError):
            rule.name = "other"

    @pytest.mark.parametrize("function", ["ravine", "himmelblau"])
    def test_printed_formula_is_what_runs(self, rule, function):
        tamed = replace(rule, lr=min(rule.lr, 0.01)) if hasattr(rule, "lr") else rule
        worked = next(islice(worked_steps(tamed, OBJECTIVES[function]()), 24, None))
        assert bool(worked.statements) == (rule.name not in LINE_SEARCH)
        reached = {one.target: one.value for one in worked.statements}
        assert np.array_equal(reached.get("w", worked.result), worked.result)
        assert {*rule.states} <= {*reached} or rule.name in LINE_SEARCH


class StepContract:
    """A step on arrays: a batch is its points, and an array of settings is its settings."""

    HESSIANS = symmetric(np.random.default_rng(5), 6, 3)

    @few_examples
    @given(gradients=GRADIENTS)
    def test_batch_is_its_single_points(self, rule, gradients):
        batches = np.array([[[g, -g], [g / 2, 2 * g]] for g in gradients])
        points = walk(rule, np.tile(START, (2, 2, 1)), batches, self.HESSIANS[:, None, None])
        assert points[-1].shape == (2, 2, 3)
        alone = walk(rule, START, 2 * gradients, self.HESSIANS)
        assert_allclose([point[1, 1] for point in points], alone, rtol=1e-12, atol=1e-13)

    def test_settings_may_be_arrays(self, rule):
        random = np.random.default_rng(6)
        gradients = random.normal(0, 1, (6, 3)) * 10.0 ** random.integers(-3, 2, (6, 1))
        for name in (f.name for f in fields(rule) if isinstance(getattr(rule, f.name), float)):
            values = getattr(rule, name) * np.array([0.5, 0.9, 0.99])
            changed = replace(rule, **{name: values[:, None]})
            together = walk(changed, np.tile(START, (3, 1)), gradients, self.HESSIANS)[-1]
            for value, point in zip(values, together, strict=True):
                alone = walk(replace(rule, **{name: float(value)}), START, gradients, self.HESSIANS)[-1]
                assert_allclose(point, alone, rtol=1e-12, atol=1e-14, err_msg=name)


class TensorContract:
    """The lines that run on arrays run on tensors, and single precision stays single precision."""

    HESSIANS = StepContract.HESSIANS

    @few_examples
    @given(gradients=GRADIENTS)
    def test_tensors_follow_the_path_of_arrays(self, rule, gradients):
        hessians = torch.from_numpy(self.HESSIANS)
        points = walk(rule, torch.from_numpy(START), torch.from_numpy(gradients), hessians)
        assert all(point.dtype == torch.float64 for point in points)
        assert_allclose(torch.stack(points), walk(rule, START, gradients, self.HESSIANS), rtol=1e-9, atol=1e-12)

    @few_examples
    @given(gradients=GRADIENTS)
    def test_single_precision_stays_single_and_finite(self, rule, gradients):
        single = gradients.astype(np.float32), self.HESSIANS.astype(np.float32)
        points = walk(rule, START.astype(np.float32), *single)
        tensors = walk(rule, torch.from_numpy(START).float(), *(torch.from_numpy(a) for a in single))
        assert {point.dtype for point in points} == {np.dtype("float32")}
        assert {point.dtype for point in tensors} == {torch.float32}
        assert np.isfinite(points).all()
        assert torch.stack(tensors).isfinite().all()

    def test_state_is_what_a_checkpoint_holds(self, rule):
        start = torch.nn.Parameter(torch.from_numpy(START))
        quantities = _quantities(start, torch.from_numpy(START), torch.from_numpy(self.HESSIANS[0]))
        needed = {name: quantities[name] for name in rule.needs}
        with torch.no_grad():
            _, state = rule.step(start, torch.from_numpy(START), 1, rule.init(start), **needed)
        assert all(isinstance(value, torch.Tensor | int | float | tuple) for value in state)
        assert len(state) == len(rule.states)


class MatrixContract:
    """A rule for weight matrices: on tensors as on arrays, and finite where gradients vanish."""

    TINY = torch.tensor([[0.0, 1e-8, 1e-20, 1e-30]] * 3)
    """What five layers of sigmoids and the border of an image leave of a gradient; the squares are zero."""

    def test_tensors_follow_the_path_of_arrays(self, rule):
        random = np.random.default_rng(7)
        tolerance = 1e-5 if rule.name == "soap" else 1e-9  # SOAP decomposes in single precision
        for shape in [(3, 2), (2, 3)] if rule.name == "muon" else [(3, 2), (2, 3), (4,)]:
            start, gradients = random.normal(0, 1, shape), random.normal(0, 1, (12, *shape))
            tensors = torch.from_numpy(start), torch.from_numpy(gradients)
            exact = walk(replace(rule, precision="full") if rule.name == "muon" else rule, *tensors)
            assert_allclose(exact, walk(rule, start, gradients), rtol=tolerance, atol=tolerance)
            if rule.name == "muon":
                half = walk(replace(rule, precision="bfloat16"), *tensors)
                assert_allclose(half, exact, atol=0.05 * rule.lr * len(gradients))
                assert not torch.equal(half[-1], exact[-1])

    def test_vanishing_gradients_divide_nothing_by_zero(self, rule):
        points = walk(rule, torch.ones(3, 4), [scale * self.TINY for scale in (1.0, 1e-3, 1.0)])
        assert torch.stack(points).isfinite().all()

    def test_infinite_gradients_reach_the_state(self, rule):
        """Without an error: the training then ends as diverged."""
        start = torch.ones(3, 2)
        _, state = rule.step(start, torch.full((3, 2), torch.inf), 1, rule.init(start))
        tensors = [part for value in state for part in (value if isinstance(value, tuple) else [value])]
        assert not all(part.isfinite().all() for part in tensors if isinstance(part, torch.Tensor))


# --- pages -------------------------------------------------------------------------------------------------

HOSTILE_MARKUP = [
    "</script><script>window.live=1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.live=1">',
    "' onmouseover='window.live=1",
    "javascript:window.live=1",
    "{{ 7 * 7 }}{% raw %}",
    "]]>&lt;b&gt;&amp;</style><svg onload=window.live=1>",
    "\u2028\u2029\x1b[31m\u202eabc",
]


class Elements(HTMLParser):
    """What a page consists of: its elements with the names of their attributes, and the texts of scripts and styles."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.data = ""
        self._inside: tuple[str, dict[str, str]] = ("", {})
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, *sorted(found)))
        self.attributes += [(tag, name, value) for name, value in found.items()]
        self._inside = tag, found
        if tag in self.texts and found.get("id") != "data":
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "", {}

    def handle_data(self, data: str) -> None:
        tag, attributes = self._inside
        if attributes.get("id") == "data":
            self.data += data
        elif tag in self.texts:
            self.texts[tag][-1] += data


class PageContract:
    """A page is one file that loads nothing, and in which no name or value is more than text, without a browser."""

    def page(self, folder: Path, text: str) -> bytes:
        """A page in which `text` stands wherever a name, a note or a value of somebody else may."""
        raise NotImplementedError

    def test_nothing_is_loaded(self, tmp_path):
        page = Elements(self.page(tmp_path, "text"))
        links = [
            value for _, name, value in page.attributes if name in ("src", "href", "action", "data", "srcset")
        ]
        assert [link for link in links if not link.startswith(("data:", "#"))] == []
        assert [style for style in page.texts["style"] if re.search(r"@import|url\((?!['\"]?data:)", style)] == []
        assert not {name for _, name, _ in page.attributes if name.startswith("on")}

    def test_policy_allows_its_own_scripts_alone(self, tmp_path):
        page = Elements(self.page(tmp_path, "text"))
        (policy,) = (v for tag, name, v in page.attributes if name == "content" and v.startswith("default-src"))
        allowed = dict(part.split(" ", 1) for part in policy.split("; "))
        assert allowed["default-src"] == "'none'"
        for element in ("script", "style"):
            digests = [b64encode(sha256(text.encode()).digest()).decode() for text in page.texts[element]]
            assert set(allowed[f"{element}-src"].split()) == {f"'sha256-{digest}'" for digest in digests} or {
                "'none'"
            }
        assert "unsafe" not in policy

    @pytest.mark.parametrize("text", HOSTILE_MARKUP, ids=range(len(HOSTILE_MARKUP)))
    def test_hostile_text_changes_no_element(self, tmp_path, text):
        (tmp_path / "harmless").mkdir()
        (tmp_path / "hostile").mkdir()
        harmless = Elements(
            self.page(tmp_path / "harmless", re.sub(r"\S", "x", text))
        )  # broken into the same lines
        written = self.page(tmp_path / "hostile", text)
        hostile = Elements(written)
        assert {*hostile.elements} == {*harmless.elements}
        assert hostile.texts["script"] == harmless.texts["script"]
        assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(written.decode())

    @pytest.mark.parametrize("text", HOSTILE_MARKUP[:3], ids=ascii)
    def test_data_is_ascii_json(self, tmp_path, text):
        page = Elements(self.page(tmp_path, text))
        assert page.data.isascii()
        assert not set("<>&") & set(page.data)
        json.loads(page.data or "null", parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    def test_title_names_the_page(self, tmp_path):
        (title,) = Elements(self.page(tmp_path, "text")).texts["title"]
        assert title.strip()
