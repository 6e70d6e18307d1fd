"""The playground in Chromium: its paths are those of `descend`, and what is moved moves them."""

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from optilab.commands import play
from optilab.config.load import load
from optilab.config.optimize import OptimizeConfig
from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend, theory
from optilab.show import page as pages
from tests.optimize.test_javascript import CHOSEN, TRACED_RULES, agreeing
from tests.run import run

pytestmark = pytest.mark.browser

LIMIT = 400_000  # bytes
FLAT = {key: function for key, function in CHOSEN.items() if len(function.start) <= 2}
PATHS = (
    "return state.listed.map((index) => paths[index])"
    ".map((path) => Array.from(path.rows.slice(0, path.count * WIDTH)))"
)
SETTLED = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"


def config(algo, function="ravine", **more):
    rules = "literature" if len(algo) > 4 else "exercise"
    return load(OptimizeConfig, {"algo": algo, "function": function, "epochs": 60, **more}, rules=rules)


@pytest.fixture
def opened(page, tmp_path):
    """Opens the page of a config in the browser."""

    def open_page(settings, fragment="", **window):
        pages.write_page(tmp_path / "play.html", play.page(settings))
        page.open(tmp_path / "play.html", fragment, **window)
        return page

    return open_page


def rows(page, dimension=2):
    """What the page has computed: per rule (n, 2d + 1)."""
    return [np.array(flat, dtype=float).reshape(-1, 2 * dimension + 1) for flat in page.script(PATHS)]


def drawn(page):
    """The lines of the pictures: paths, loss curves, rates and limits."""
    page.script(SETTLED)
    return page.script(
        "return Object.fromEntries(['path', 'loss', 'rate', 'limit'].map((name) => [name,"
        " Array.from(document.querySelectorAll(`[data-${name}]`)).map((line) => line.getAttribute('d'))]))"
    )


@pytest.mark.parametrize("key", FLAT)
def test_the_paths_are_those_of_descend(key, opened):
    """Of every rule; the same bits where the operations have them. And so is how each ended."""
    function = FLAT[key]
    settings = config(list(TRACED_RULES)).model_copy(update={"function": function})
    page = opened(settings)
    found = rows(page, len(function.start))
    compared = [agreeing(rule, function, path) for rule, path in zip(settings.algo, found, strict=True)]
    equal, count = np.sum(compared, axis=0)
    assert equal > 0.5 * count
    status = [descend(rule, function, steps=60).status.value for rule in settings.algo]
    assert page.script("return state.listed.map((index) => paths[index].status)") == status


@pytest.mark.parametrize("name", TRACED_RULES)
def test_every_form_of_a_rule_has_its_program(name, opened):
    """The words and switches of a rule, one after the other, each with another lr and start."""
    rule, function = RULES[name](), OBJECTIVES["himmelblau"]()
    page = opened(config([name], "himmelblau"))
    for choice in page.script("return data.rules[0].choices"):
        for option in choice["options"]:
            page.enter(f"#rule0-{choice['name']}", option if isinstance(option, str) else json.dumps(option))
            moved = replace(page_rule(page, rule), **{choice["name"]: option})
            agreeing(moved, function, rows(page)[0])
    has_rate = hasattr(rule, "lr")  # that of a rule around another one is in its base
    if has_rate:
        page.enter("#rule0-lr-exact", "0.013")
    page.enter("#start1-exact", "-1.5")
    page.enter("#start2-exact", "2.25")
    moved = page_rule(page, rule)
    assert not has_rate or moved.lr == 0.013
    agreeing(moved, function, rows(page)[0], start=(-1.5, 2.25))


def page_rule(page, rule):
    """The rule with the settings that it has in the page."""
    settings = page.script("return {...state.rules[0].values, ...state.rules[0].choices}")
    like = {
        key: float(own) if isinstance(own, int) and not isinstance(own, bool) else own
        for key, own in settings.items()
    }
    return replace(rule, **like)


def test_a_setting_at_zero_and_away_from_it(opened):
    page, ravine = opened(config([{"name": "rmsprop", "lr": 0.1}])), OBJECTIVES["ravine"]()
    for momentum in ("0", "0.5", "0"):
        page.enter("#rule0-momentum-exact", momentum)
        rule = page_rule(page, RULES["rmsprop"]())
        assert rule.momentum == float(momentum)
        agreeing(rule, ravine, rows(page)[0])


def test_a_slider_moves_path_loss_and_limit_at_once(opened):
    page = opened(config(["momentum", "adam"]))
    before = drawn(page)
    assert {name: len(lines) for name, lines in before.items()} == {"path": 2, "loss": 2, "rate": 1, "limit": 1}
    page.press("#rule0-beta", "\ue014")  # the right arrow
    after = drawn(page)
    assert all(before[name][0] != after[name][0] for name in before)
    assert [before[name][1] for name in ("path", "loss")] == [after[name][1] for name in ("path", "loss")]
    rule = page_rule(page, config(["momentum"]).algo[0])
    predicted = theory.predict(rule, OBJECTIVES["ravine"]())
    limit = float(page.script("return document.querySelector('[data-limit]').dataset.limit"))
    assert limit == predicted.largest_lr
    assert f"×{predicted.rate:.4f} per step" in page.text("section[aria-label=momentum]")
    page.enter("#rule0-lr-exact", str(limit * 1.01))
    page.script(SETTLED)
    assert "this lr is unstable" in page.text("section[aria-label=momentum]")


def test_every_position_of_a_slider_is_another_accepted_number(opened):
    page = opened(config(list(RULES)[:25]))
    found = page.script(
        "const controls = (index) => data.rules[index].controls.map((control) => controlOf(index, control));"
        "return state.listed.flatMap(controls).map((control) => {"
        " const all = Array.from({length: STEPS + 1}, (_, i) => valueAt(control, i));"
        " return [control.name, new Set(all).size, all.every((number) => isAccepted(control, number)),"
        " Math.abs(positionOf(control, valueAt(control, 100)) - 100)]; })"
    )
    assert len(found) > 80
    assert not [one for one in found if one[1] != 501 or not one[2] or one[3] > 0.6]


def test_a_marker_is_dragged_along_the_curve_of_theory(opened):
    page = opened(config(["sgd", "momentum"]))
    page.script(SETTLED)
    x, y = page.script("const spot = rates.spots[1]; return [spot.x, spot.y]")
    lrs = "return state.listed.map((index) => state.rules[index].values.lr)"
    before = page.script(lrs)
    page.drag("#rates .area", (x + 2, y), (x + 30, y))
    after = page.script(lrs)
    assert after[0] == before[0]
    assert after[1] > before[1]
    agreeing(replace(config(["momentum"]).algo[0], lr=after[1]), OBJECTIVES["ravine"](), rows(page)[1])


def test_two_settings_of_a_rule_have_two_names(opened):
    page = opened(config([{"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.4}]))
    page.script(SETTLED)
    names = "return Array.from(document.querySelectorAll('.card .rule'), (name) => name.innerText.trim())"
    assert page.script(names) == ["sgd", "sgd #2"]
    found = rows(page)
    for rule, path in zip(
        config([{"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.4}]).algo, found, strict=True
    ):
        agreeing(rule, OBJECTIVES["ravine"](), path)


def test_the_limit_near_the_minimum_is_that_of_the_curvature_there(opened):
    page = opened(config([{"name": "sgd", "lr": 0.001}], "rosenbrock"))
    page.script(SETTLED)
    curvature = np.linalg.eigvalsh(OBJECTIVES["rosenbrock"]().hessian(np.array([1.0, 1.0])))[-1]
    limit = float(page.script("return document.querySelector('[data-limit]').dataset.limit"))
    assert limit == pytest.approx(2 / curvature, rel=1e-12)
    assert "near (1, 1)" in page.text("section[aria-label=sgd]")


HANDLE = (
    "const b = document.querySelector('#start').getBoundingClientRect(),"
    " box = document.querySelector('#ground .area').getBoundingClientRect();"
)


def test_the_start_is_dragged_by_mouse_finger_and_keys(opened):
    page = opened(config(["sgd"]), width=800)
    page.script(SETTLED)
    handle = page.script(f"{HANDLE} return [b.left + 22 - box.left, b.top + 22 - box.top]")
    page.drag("#ground .area", handle, (250, 100))
    page.script(SETTLED)
    moved = page.script("return [state.start, ground.back(250, 100)]")
    assert moved[0] == pytest.approx(moved[1], rel=1e-3)
    agreeing(config(["sgd"]).algo[0], OBJECTIVES["ravine"](), rows(page)[0], start=moved[0])
    assert float(page.script("return document.querySelector('#start1-exact').value")) == moved[0][0]

    page.press("#start", "\ue014")
    right = page.script("return state.start")
    assert right[0] > moved[0][0]
    assert right[1] == moved[0][1]

    page.script(SETTLED)
    at = page.script(
        "const b = document.querySelector('#start').getBoundingClientRect(); return [b.left + 22, b.top + 22]"
    )
    for kind, places in (("touchStart", [at]), ("touchMove", [[at[0] + 40, at[1] - 30]]), ("touchEnd", [])):
        points = [{"x": x, "y": y} for x, y in places]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touched = page.script("return state.start")
    assert touched[0] > right[0]
    assert touched[1] > right[1]


def test_the_address_keeps_the_settings_and_reset_forgets_them(opened, tmp_path):
    page = opened(config(["sgd", "momentum", "sgd"]))
    assert page.script("return fragment()") == ""
    for control, own in {
        "rule0-lr-exact": "0.25",
        "start1-exact": "-4",
        "epochs-exact": "33",
        "rule2-lr-exact": "0.5",
    }.items():
        page.enter(f"#{control}", own)
    page.enter("#rule1-form", "classic")
    page.enter("#rule0-shown", False)
    page.enter("#at", 12)
    page.script("return new Promise((done) => setTimeout(done, 400))")
    link = page.script("return location.hash.slice(1)")
    assert set(link.split("&")) == {
        "start=-4,-2", "epochs=33", "at=12", "sgd.lr=0.25", "sgd.shown=no", "momentum.form=classic", "sgd-2.lr=0.5",
    }  # fmt: skip
    state, paths = page.script("return JSON.stringify(state)"), rows(page)
    page.open(tmp_path / "play.html", link)
    assert page.script("return JSON.stringify(state)") == state
    assert all(np.array_equal(a, b) for a, b in zip(rows(page), paths, strict=True))
    page.script("document.querySelector('#reset').click()")
    page.script("return new Promise((done) => setTimeout(done, 400))")
    assert page.script("return [fragment(), location.hash]") == ["", ""]


@pytest.mark.parametrize(
    "link",
    [
        "sgd.lr=-1&sgd.lr=x&sgd.lr=&adam.lr=1&start=1&start=a,b&epochs=0&epochs=1e9&at=-1&=&&%E0%A4%A&sgd=1&.lr=2",
        "sgd.__proto__=1&__proto__.lr=1&constructor.lr=2&sgd.constructor=1&momentum.form=<b>",
    ],
)
def test_an_address_that_says_nothing_changes_nothing(link, opened):
    page = opened(config(["sgd", "momentum"]), link)
    assert page.script("return [fragment(), JSON.stringify(state) === JSON.stringify(given())]") == ["", True]


def test_a_number_that_is_not_accepted_changes_nothing(opened):
    page = opened(config(["sgd"]))
    for own in ("-1", "0", "x", ""):
        page.enter("#rule0-lr-exact", own)
        assert (
            page.script("return document.querySelector('#rule0-lr-exact').validationMessage")
            == "lr: greater than 0"
        )
    assert page.script("return fragment()") == ""


def test_time_runs_steps_and_stops(opened):
    page = opened(config(["sgd", "adam"]))
    assert page.text("#epoch") == "epoch 60 of 60"
    for control, epoch in {"first": 0, "forward": 1, "last": 60, "back": 59}.items():
        page.script(f"document.querySelector('#{control}').click()")
        page.script(SETTLED)
        assert page.text("#epoch") == f"epoch {epoch} of 60"
    page.script("document.querySelector('#speed').value = '4'; document.activeElement.blur(); show(30)")
    page.press("body", " ")
    assert page.script("return document.querySelector('#play').getAttribute('aria-label')") in ("play", "pause")
    page.script("return new Promise((done) => setTimeout(done, 2500))")
    assert page.script("return [shownEpoch(), playing]") == [60, 0]
    page.press("body", "\ue012")  # the left arrow
    page.script(SETTLED)
    assert page.text("#epoch") == "epoch 59 of 60"


def test_the_tables_hold_the_numbers(opened):
    page = opened(config(["sgd", "adam"]), "at=7")
    page.script("document.querySelector('#epochs-table').closest('details').open = true")
    page.script(SETTLED)
    read = (
        "return Array.from(document.querySelectorAll(arguments[0]),"
        " (row) => Array.from(row.cells, (cell) => cell.innerText.trim()))"
    )
    assert page.script(read, "#results thead tr")[0][0] == "optimizer"
    assert (
        page.script(
            "const it = document.querySelector('#results').closest('.scroll'); return it.scrollWidth - it.clientWidth"
        )
        <= 0
    )
    cells = page.script(read, "#results tbody tr")
    for rule, row in zip(config(["sgd", "adam"]).algo, cells, strict=True):
        path = descend(rule, OBJECTIVES["ravine"](), steps=60)
        assert row[:2] == [rule.name, "7"]
        numbers = [float(cell.replace("\u2212", "-")) for cell in row[2:6]]
        expected = [*path.points[7], path.values[7], path.gradient_norms[7]]
        assert numbers == pytest.approx([float(f"{number:.4g}") for number in expected], rel=1e-12)
        assert row[-1] == descend(rule, OBJECTIVES["ravine"](), steps=7).status.value
    assert [row[0] for row in page.script(read, "#epochs-table tbody tr")] == [str(epoch) for epoch in range(61)]
    lines = page.script("return csv(paths, shownRules())").splitlines()
    assert lines[0] == "algo,epoch,w1,w2,f,grad1,grad2"
    assert len(lines) == 1 + 2 * 61
    assert [float(number) for number in lines[8].split(",")[2:4]] == descend(
        config(["sgd"]).algo[0], OBJECTIVES["ravine"](), steps=60
    ).points[7].tolist()


@pytest.mark.parametrize(
    "function",
    [
        "rosenbrock",
        {"name": "quadratic", "condition": 30.0},
        {"name": "expression", "formula": "w1^2 + w1*w2 + w2^2"},
    ],
)
def test_the_command_of_the_page_runs_the_same(function, opened, tmp_path):
    page = opened(
        config(["momentum", "adam"], function), "momentum.lr=0.002&start=-0.5,1.5&epochs=20&adam.eps=1e-7"
    )
    page.script(SETTLED)
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    assert words[:2] == ["optilab", "optimize"]
    done = run([*words[1:], "--json", "--no-save"], tmp_path, {})
    results = json.loads(done.stdout)["results"]
    found = rows(page)
    assert np.array_equal(found[0][:, :2], results[0]["points"])
    np.testing.assert_allclose(found[1][:, :2], results[1]["points"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dark", [False, True])
def test_pages_of_every_width_fit_and_stay_small(dark, opened, tmp_path):
    page = opened(config(list(RULES)[:12], "beale"), dark=dark)
    assert (tmp_path / "play.html").stat().st_size < LIMIT
    for width in (400, 700, 1000, 1600):
        page.resize(width)
        page.script(SETTLED)
        assert page.overflow() == 0
        wide = (
            "return Array.from(document.querySelectorAll('.area, .card'), (e) => e.getBoundingClientRect().right)"
        )
        assert max(page.script(wide)) <= width
    pixels = page.script(
        "const canvas = document.querySelector('canvas'), {width, height} = canvas;"
        "const image = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
        "const red = image.filter((_, i) => i % 4 === 0).sort(); return [red[0], red[red.length - 1]]"
    )
    assert pixels[1] - pixels[0] > 50
    assert (pixels[0] < 40) is dark


def test_a_closer_look_and_a_start_outside_the_box(opened):
    page = opened(config(["momentum"]))
    for _ in range(3):
        page.script("document.querySelector('#closer').click()")
    page.script(SETTLED)
    sides = np.array(page.script("return view()"))
    across, up = np.diff(sides, axis=1).ravel()  # the box is 9 by 6; the picture is higher
    assert across == pytest.approx(9 * 1.08 / 8)
    assert up == pytest.approx(across * page.script("return aspect"))
    assert sides.mean(axis=1) == pytest.approx([0, 0], abs=1e-12)  # the minimum
    assert page.script("return [fragment(), document.querySelector('#start').hidden]") == ["view=0,0,3", True]
    page.script("document.querySelector('#reset').click()")
    page.enter("#start1-exact", "40")
    page.script(SETTLED)
    low, high = page.script("return view()[0]")
    assert low < -6
    assert high > 40
    assert page.overflow() == 0
    assert not page.script("return document.querySelector('#start').hidden")


ALGO = (
    "return state.listed.map((index) => ({name: data.rules[index].spec, ...data.rules[index].fixed,"
    " ...state.rules[index].values, ...state.rules[index].choices}))"
)


@pytest.mark.parametrize("function", ["rosenbrock", "ackley", "branin"])
def test_functions_and_rules_are_chosen_in_the_page(function, opened, optilab, tmp_path):
    """The paths of what is chosen are those of `descend`, and the command of the page is of the same path."""
    page = opened(config(["sgd", "momentum"]))
    page.enter("#function", function)
    for name in ("adan", "lion"):
        page.enter("#rule", page.script("return data.rules.findIndex((rule) => rule.key === arguments[0])", name))
        page.script("document.querySelector('#add').click()")
    page.script(SETTLED)
    assert page.text("#title") == f"sgd, momentum, adan, lion on {function}"
    assert "diverged" not in page.script("return state.listed.map((index) => paths[index].status)")
    found, settings = rows(page), config(page.script(ALGO), function)
    for rule, path in zip(settings.algo, found, strict=True):
        agreeing(rule, settings.function, path)
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    results = json.loads(optilab(*words[1:], "--json", "--no-save").stdout)["results"]
    assert [result["points"][9] for result in results] == [pytest.approx(path[9, :2]) for path in found]
    link = page.script("return fragment()")
    assert link.startswith(f"function={function}&algo=sgd,momentum,adan,lion")
    page.open(tmp_path / "play.html", link)
    assert all(np.array_equal(a, b) for a, b in zip(rows(page), found, strict=True))
    page.script("document.querySelector('#reset').click()")
    assert page.script("return [fragment(), state.listed]") == ["", [0, 1]]


def test_a_command_with_a_rule_around_another_can_be_typed(opened, optilab):
    page = opened(config(["sam"]))
    page.script(SETTLED)
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    (result,) = json.loads(optilab(*words[1:], "--json", "--no-save").stdout)["results"]
    assert np.array_equal(rows(page)[0][:, :2], result["points"])


TYPED = [
    "x^2 + 3*y^4",
    "w1^2*w2^2 + w1^2 + 0.5 w2^2",
    "2(x + 1)^2 + y^2/3 - x y",
    "-x^2 + x^4 + +y^2",
    "(x^2)^0.5 + y**3**1 + y^2",
    "sqrt(1 + x^2) + sqrt(y^2 + 2)",
    "exp(x/2) + exp(-x) + y^2",
    "log(1 + x^2 + y^2)",
    "sin(x)*cos(y) + 0.1*(x^2 + y^2)",
    "tan(0.3x) + x^2 + y^2",
    "sinh(x) + cosh(y) + x^2",
    "tanh(x - y)^2 + 0.1x^2",
    "abs(x) + 2abs(y - 1)",
    "max(x, y)^2 + min(x, 2y)^2",
    "sign(x)*x + y^2",
    "abs(x)^2^1.5^2/9 + (x^2 + 1)^y",
    "1/(1 + x^2) + y^2",
    "2^x + 2^(-y) + x^-2",
    "(x^2)^-1 + 1e-2 y^2 + .5x^2",
    "pi x^2 + y^2 pi",
    "x + y - 0*x",
    "(x - 1)(y + 2) + x^2 + y^2",
    "x^64 + y^9/1e3",
    "exp(-x^2 - y^2)*-1",
    "((((x))))*y + 3.",
]


def test_a_formula_typed_in_the_page_has_the_digits_of_optimize(opened, optilab, tmp_path):
    """Value, gradient and paths, with the same bits where there is nothing but + - * / and roots."""
    page = opened(config(["sgd", "adam"]))
    points = np.random.default_rng(1).uniform(-2, 2, (40, 2))
    exact = 0
    for formula in TYPED:
        page.enter("#own", formula)
        assert page.script("return fn.key") == formula, page.text("#told")
        function = OBJECTIVES["expression"](formula=formula)
        found = page.script(
            "return arguments[0].map((p) => { const row = [0, 0, 0]; fn.ground(...p, row, 0);"
            " return [...row, fn.value(...p)]; })",
            points.tolist(),
        )
        with np.errstate(all="ignore"):
            own = np.column_stack([function.value(points), function.gradient(points), function.value(points)])
        found = np.array([[np.nan if number is None else number for number in row] for row in found])
        np.testing.assert_allclose(found, own, rtol=1e-12, atol=1e-14, err_msg=formula)
        exact += np.array_equal(found, own)
        for rule, path in zip(config(page.script(ALGO)).algo, rows(page), strict=True):
            agreeing(rule, function, path, start=[-1.0, 1.0])
    assert exact >= 10
    link = page.script("return fragment()")
    page.open(tmp_path / "play.html", link)
    assert page.script("return fn.key") == TYPED[-1]
    page.script(SETTLED)
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    optilab(*words[1:], "--json", "--no-save")
    page.enter("#own", "0.1*w1^2+2 w2^2")  # that of a test function, which is known better
    assert page.script("return [fn.key, fragment()]") == ["ravine", ""]


def drawn_formula(rng, depth):
    """The text of a formula of what IEEE 754 defines to the last bit."""
    if depth == 0:
        return str(rng.choice(["x", "y", "w1", "pi", "2", "0.3", "1e-2", "0", "1"]))
    a, b = drawn_formula(rng, depth - 1), drawn_formula(rng, int(rng.integers(depth)))
    forms = (
        "{a} + {b}", "{a} - {b}", "({a})*({b})", "({a})/({b})", "{a}*{b}", "{a}/{b}", "({a})({b})", "-{a}", "-({a})",
        "({a})^{n}", "({a})**{n}", "sqrt({a})", "abs({a})", "sign({a})", "min({a}, {b})", "max({a}, {b})",
        "+{a} - -{b}",
    )  # fmt: skip
    return str(rng.choice(forms)).format(a=a, b=b, n=rng.integers(1, 7))


def is_accepted(formula):
    """Whether `optimize` takes it: one that divides by 0 everywhere is refused."""
    try:
        OBJECTIVES["expression"](formula=formula)
    except UsageError as error:
        return "divides by 0 everywhere" not in str(error)
    return True


def test_drawn_formulas_have_the_bits_of_the_engine(opened):
    page, rng = opened(config(["sgd"])), np.random.default_rng(5)
    drawn = [f"{drawn_formula(rng, 4)} + 0*x*y" for _ in range(360)]
    formulas = [formula for formula in drawn if is_accepted(formula)]
    assert len(formulas) >= 300
    points = rng.uniform(-2, 2, (10, 2))
    found = page.script(
        "return arguments[0].map((text) => { const own = functionOf(text); return arguments[1].map((p) => {"
        " const row = [0, 0, 0]; own.ground(...p, row, 0); return row.map(String); }); })",
        formulas,
        points.tolist(),
    )
    for formula, rows_found in zip(formulas, found, strict=True):
        function = OBJECTIVES["expression"](formula=formula)
        with np.errstate(all="ignore"):
            own = np.column_stack([function.value(points), function.gradient(points)])
        same = np.array([[float(number.replace("Infinity", "inf")) for number in row] for row in rows_found])
        assert np.array_equal(same, own, equal_nan=True), formula


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "x +",
        "x y)",
        "(x + y",
        "foo(x)",
        "sin x",
        "min(x)",
        "x^2 + z",
        "x & y",
        "max(x, y, 2)",
        "2..3",
        "x, y",
        "3 4",
    ],
)
def test_a_formula_that_is_none_is_refused_in_the_page(formula, opened):
    """With the column that `optimize` names, and nothing changes."""
    page = opened(config(["sgd"]))
    page.enter("#own", formula)
    told = page.text("#told")
    assert re.match(r"column \d+: ", told)
    assert page.script("return fragment()") == ""
    with pytest.raises(UsageError):
        OBJECTIVES["expression"](formula=formula)


def test_a_formula_of_other_variables_is_told_where_it_belongs(opened):
    page = opened(config(["sgd"]))
    page.enter("#own", "x^4 - x^2")
    assert page.text("#told").endswith("For this one: optilab play --algo sgd --function 'x^4 - x^2'")
    page = opened(config(["sgd"], {"name": "expression", "formula": "x^4 - x^2"}))
    page.enter("#own", "cos(x) + x^2/10")
    function = OBJECTIVES["expression"](formula="cos(x) + x^2/10")
    agreeing(config(page.script(ALGO)).algo[0], function, rows(page, 1)[0], start=[-1.0])


def test_a_press_on_a_button_takes_what_was_typed_and_still_clicks(opened):
    """Leaving the field shows a note above the buttons, which may not move them away from under the pointer."""
    page = opened(config(["sgd"]), height=700)
    page.enter("#rule", page.script("return data.rules.findIndex((rule) => rule.key === 'lion')"))
    typed = (
        "const own = document.querySelector('#own'); own.focus(); own.select();"
        "document.execCommand('insertText', false, arguments[0])"
    )
    for formula, button, listed in (("x^2 + y^4", "#add", 2), ("x^2 + 3*y^4", "#reset", 1)):
        page.script(typed, formula)
        page.drag(button, (5, 5), (5, 5))
        page.script(SETTLED)
        assert page.script("return state.listed.length") == listed
        assert page.script("return fn.key") == ("x^2 + y^4" if button == "#add" else "ravine")


def test_the_scrollbar_of_the_panel_has_its_place_from_the_start(opened):
    page = opened(config(["sgd", "momentum", "adam"]), height=700)
    width = "const panel = document.querySelector('.panel'); return panel.clientWidth"
    before = page.script(width)
    page.script("document.querySelector('#seed, #epochs').focus()")
    assert page.script(width) == before
    assert page.script("return getComputedStyle(document.querySelector('.panel')).scrollbarWidth") == "thin"


def test_every_rule_and_function_of_the_list_works(opened):
    """No pair of them makes a page that fails, and none opens on a path that diverges at once where an lr can help."""
    page = opened(config(["sgd"]))
    ended = page.script(
        "const all = data.rules.map((_, index) => index), ended = {};"
        "for (const one of data.functions) { choose(one); all.forEach((i) => state.listed.includes(i) || add(i));"
        " ended[one.key] = all.filter((i) => paths[i].status === 'diverged').map((i) => data.rules[i].key); }"
        "return [all.length, ended]"
    )
    assert ended[0] == len(TRACED_RULES)
    assert set(ended[1]) == {*OBJECTIVES} - {"logistic-regression", "expression"}
    assert {name for names in ended[1].values() for name in names} <= {"sam", "barzilai-borwein"}


def test_the_picture_is_moved_and_stretched_by_mouse_fingers_and_keys(opened):
    """What was under a place is under the hand; the start stays; a click moves the start; 0 and the button undo it."""
    page = opened(config(["sgd", "adam"]), width=800)
    sides = "return view()"
    at = (
        "const b = document.querySelector('#ground .area').getBoundingClientRect();"
        "const [x, y] = arguments[0]; return under({clientX: b.left + x, clientY: b.top + y})"
    )
    page.script(SETTLED)
    whole, before = np.array(page.script(sides)), page.script(at, [200, 150])
    page.drag("#ground .area", (200, 150), (260, 190))
    assert page.script(at, [260, 190]) == pytest.approx(before)
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole))
    assert page.script("return [state.start, fragment().startsWith('view=')]") == [[-5, -2], True]
    link = page.script("return fragment()")
    page.script("document.querySelector('#whole').click()")
    assert np.array_equal(page.script(sides), whole)
    assert page.script("return fragment()") == ""

    box = page.script(
        "const b = document.querySelector('#ground .area').getBoundingClientRect(); return [b.left, b.top]"
    )
    wheel = {"type": "mouseWheel", "x": box[0] + 200, "y": box[1] + 150, "deltaX": 0, "deltaY": -50}
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", wheel)
    page.script(SETTLED)
    assert np.array_equal(page.script(sides), whole)  # it scrolls the page
    page.script("scrollTo(0, 0)")
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", wheel | {"modifiers": 2})
    page.script(SETTLED)
    assert page.script(at, [200, 150]) == pytest.approx(before, abs=0.01)  # the wheel tells whole pixels
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole) / 2**0.5)

    page.press("body", "0")
    for kind, places in (("touchStart", (180, 220)), ("touchMove", (170, 230)), ("touchMove", (150, 250))):
        points = [{"x": box[0] + x, "y": box[1] + 150, "id": i} for i, x in enumerate(places)]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.script(SETTLED)
    assert page.script(at, [200, 150]) == pytest.approx(before)
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole) * 60 / 100)

    page.press("body", "0", "-", "+", "=")
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole) / 2)
    left = page.script(sides)[0][0]
    page.press("body", "\ue008\ue014")  # Shift and the right arrow
    assert page.script(sides)[0][0] == pytest.approx(left + 0.1 * np.diff(whole[0]).item() / 2)
    assert page.text("#epoch") == "epoch 60 of 60"
    page.press("body", "0")
    place = page.script(at, [300, 120])
    page.drag("#ground .area", (300, 120), (300, 120))
    assert page.script("return state.start") == pytest.approx(place, rel=1e-3)
    page.script("location.hash = arguments[0]", link)
    page.script(SETTLED)
    assert page.script("return fragment()") == link


def test_noise_is_added_to_every_gradient(opened, optilab, tmp_path):
    """The rule sees the gradient and the noise; the page shows the gradient; every rule gets the same numbers."""
    page = opened(config([{"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.2}, "sam"]))
    still = rows(page)
    page.enter("#noise-exact", "0.5")
    page.enter("#seed-exact", "7")
    page.script(SETTLED)
    numbers = np.array(page.script("return Array.from(draws(7, 40_000))"))
    assert abs(numbers.mean()) < 0.03
    assert numbers.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(numbers) < 1.96) == pytest.approx(0.95, abs=0.01)
    found, noise = rows(page), 0.5 * numbers[: 2 * 60].reshape(-1, 2)
    for lr, path in zip((0.1, 0.2), found[:2], strict=True):
        np.testing.assert_allclose(
            path[1:, :2], path[:-1, :2] - lr * (path[:-1, 3:] + noise), rtol=1e-12, atol=1e-15
        )
        assert np.array_equal(path[:, 3:], OBJECTIVES["ravine"]().gradient(path[:, :2]))
    assert np.array_equal(found[2], still[2])
    assert "it evaluates gradients itself" in page.text("section[aria-label=sam]")
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    assert words[-4:] == ["--set", "noise=0.5", "--set", "seed=7"]
    assert len(json.loads(optilab(*words[1:], "--json", "--no-save").stdout)["results"]) == 2
    link = page.script("return fragment()")
    assert link == "noise=0.5&seed=7"
    page.open(tmp_path / "play.html", link)
    assert np.array_equal(rows(page)[0], found[0])
    page.enter("#seed-exact", "8")
    assert not np.array_equal(rows(page)[0], found[0])
    page.enter("#noise", "0")
    assert np.array_equal(rows(page)[0], still[0])


def test_the_value_under_the_pointer(opened):
    page = opened(config(["sgd"]))
    page.drag("#ground .area", (200, 180), (200, 180))
    point, shown = page.script("return [state.start, document.querySelector('#here').textContent]")
    value = float(shown.partition(" = ")[2].replace("\u2212", "-"))
    assert value == pytest.approx(OBJECTIVES["ravine"]().value(np.array(point)), rel=0.01)


def test_texts_of_the_user_do_nothing(page, tmp_path):
    """The formula of a rule, the name of its file, and the formula of a function."""
    hostile = "</script><img src=x onerror=window.live=1>{{ 7 * 7 }}"
    file = tmp_path / "a'\"<b>&.py"
    file.write_text(
        f"class Rule:\n    formula = {hostile!r}\n    def __init__(self, lr=0.1): self.lr = lr\n"
        "    def update(self, w, g): return w - self.lr * g\n"
    )
    settings = config([f"{file}:Rule"])
    pages.write_page(tmp_path / "play.html", play.page(settings, hostile))
    page.open(tmp_path / "play.html", hostile)
    page.script(SETTLED)
    assert page.script("return [window.live ?? 0, document.querySelectorAll('img, b b').length]") == [0, 0]
    assert hostile in page.text("section.card:not(#common)")
    assert hostile in page.text("header")
    words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    done = run([*words[1:], "--json", "--no-save"], tmp_path, {})
    assert done.returncode == 0, done.stderr
    assert np.array_equal(json.loads(done.stdout)["results"][0]["points"], rows(page)[0][:, :2])


def test_a_printed_page_has_its_pictures(opened):
    """On paper the page has another width, and no script draws it again."""
    page = opened(config(["sgd"]))
    page.script(SETTLED)
    box = (
        "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom]"
    )
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.script("observer.disconnect(); document.querySelector('main').style.width = '500px'")
    canvas, area = page.script(box, "canvas"), page.script(box, "#ground .area")
    axis = page.script(box, "#ground .axis")
    assert canvas == pytest.approx(axis, abs=1.5)
    assert area[2] - area[0] < 400
    assert page.script("return getComputedStyle(document.querySelector('#start')).display") == "block"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_function_of_one_variable_is_a_curve(opened):
    function = {"name": "expression", "formula": "w1^2/2 + sin(3*w1)"}
    page = opened(config(["adam", "rmsprop"], function, start=[2.5]))
    for rule, path in zip(config(["adam", "rmsprop"]).algo, rows(page, 1), strict=True):
        agreeing(rule, OBJECTIVES["expression"](formula=function["formula"]), path, start=[2.5])
    page.drag("#ground .area", (200, 100), (200, 100))
    assert page.script("return [state.start.length, isFinite(state.start[0])]") == [1, True]
    page.drag("#ground .area", (200, 100), (260, 160))
    assert page.script("return [state.view.at.length, fragment().split('&').length]") == [1, 2]


@pytest.mark.parametrize("formula", ["x^4 - x^2", "x^3"])
def test_a_formula_of_ones_own_has_whole_loss_curves(formula, opened):
    """Where its minimum is found, theory and distance are there, too; where it has none, no curve has holes."""
    settings = config(["sgd", "adam"], {"name": "expression", "formula": formula}, start=[2.0])
    page = opened(settings)
    known = formula == "x^4 - x^2"
    assert [line.count("M") for line in drawn(page)["loss"]] == [1, 1]
    assert ("stable up to lr" in page.text("section.card:not(#common)")) == known
    assert ("distance" in page.text("#results")) == known
    assert bool(page.script("return document.querySelectorAll('#ground .end').length")) == known


VERDICTS = "return Array.from(document.querySelectorAll('.card .verdict'), (verdict) => verdict.textContent)"


def test_a_verdict_is_of_the_epoch_that_is_shown(opened):
    """And so is that of the table: what has not converged yet is moving."""
    settings = config(["momentum", "adam"])
    page = opened(settings)
    for epoch in (0, 40, 60):
        page.script("show(arguments[0])", epoch)
        page.script(SETTLED)
        expected = [descend(rule, settings.function, steps=epoch).status.value for rule in settings.algo]
        assert page.script(VERDICTS) == expected
        table = (
            "return Array.from(document.querySelectorAll('#results tbody tr'), (row) => row.cells[7].textContent)"
        )
        assert page.script(table) == expected
    assert expected[0] == "converged"


@pytest.mark.parametrize(
    ("function", "lr", "epochs"),
    [
        ("mccormick", 0.005, 900),
        ("styblinski-tang", 0.005, 900),
        ("rastrigin", 0.002, 900),
        ("griewank", 0.5, 900),
        ("schaffer2", 0.4, 60),  # in a flat ring, where f is almost f_min
    ],
)
def test_a_path_that_ends_elsewhere_has_not_just_converged(function, lr, epochs, opened, optilab):
    """In the page and in the terminal, in the same words; those that reach the minimum have."""

    def told(*start):
        words = ("optimize", "sgd", "--lr", lr, "--function", function, "--epochs", epochs, "--no-save", *start)
        return " ".join(optilab(*words).stdout.split())

    page = opened(config([{"name": "sgd", "lr": lr}], function, epochs=epochs))
    page.script(SETTLED)
    assert page.script(VERDICTS) == ["converged, not at the minimum"]
    assert "converged, not at the minimum: f = " in told()
    near = [str(w + 0.01) for w in OBJECTIVES[function]().minima[0]]
    assert "converged: f = " in told(f"--start={','.join(near)}")
    page.enter("#start1-exact", near[0])
    page.enter("#start2-exact", near[1])
    page.script(SETTLED)
    assert page.script(VERDICTS) == ["converged"]


def test_a_path_that_falls_below_the_minimum_leaves_the_picture(opened, optilab):
    """Its loss curve ends there, with its name; it is not drawn as the lowest of all."""
    page = opened(config([{"name": "adam", "lr": 10.0}, {"name": "sgd", "lr": 0.1}], "mccormick"), width=1500)
    page.script(SETTLED)
    assert page.script(VERDICTS)[0] == "moving, below f_min, off the map"
    assert page.script("return losses.ys[0]") > -8
    assert "adam \u2193" in page.script("return document.querySelector('#losses').textContent")
    done = optilab("optimize", "adam", "--lr", 10, "--function", "mccormick", "--epochs", 60, "--no-save")
    assert "still moving, below f_min: f = " in " ".join(done.stdout.split())


@pytest.mark.parametrize("function", ["saddle", "monkey-saddle", "mccormick"])
def test_a_function_without_a_lowest_point_opens_on_paths_in_its_picture(function, opened):
    page = opened(config(["sgd", "momentum", "adam"]))
    page.enter("#function", function)
    page.script(SETTLED)
    assert not [verdict for verdict in page.script(VERDICTS) if "map" in verdict or "diverged" in verdict]
    assert page.script("return losses.ys[1]") < 4
    page.enter("#rule0-lr-exact", "5")
    page.script(SETTLED)
    assert page.script(VERDICTS)[0] in ("moving, off the map", "diverged")
    assert page.script("return losses.ys[1]") < 5


def test_the_minimum_stays_in_sight_when_it_is_looked_at_closely(opened):
    page = opened(config(["momentum"]))
    page.press("body", "-", "+", "+", "+", "+")
    assert page.script("return isIn(view(), [0, 0])")
    page.script("state.view = {at: [2, 2], zoom: 3}; closer()")
    assert page.script("return state.view.at") == [2, 2]


def test_guided_steps_lead_where_they_say(opened):
    page = opened(config(["sgd", "momentum", "adam"]))
    said, rates = {}, {}
    for name in page.script("return [...document.querySelectorAll('#tour button')].map((b) => b.textContent)"):
        page.script(
            "[...document.querySelectorAll('#tour button')].find((b) => b.textContent === arguments[0]).click()",
            name,
        )
        page.script(SETTLED)
        said[name] = (
            page.text("#tour [role=status]"),
            page.script("return state.listed.map((index) => paths[index].status)"),
        )
        rates[name] = page.script("return theoryOf(1, paths[1]).rate")
    below, above = said["just below the limit"], said["just above the limit"]
    assert "sgd at lr 0.49; its limit is 0.5" in below[0]
    assert "shrinks by ×0.960 per step" in below[0]
    assert "sgd at lr 0.51" in above[0]
    assert re.search(r"grows by ×1\.040 per step in the long run: from 5\.4 to \d", above[0])
    assert re.search("momentum at lr .* and beta .* fastest", said["momentum's sweet spot"][0])
    assert (
        rates["momentum's sweet spot"] < 0.7
    )  # the optimum of heavy ball on condition 20 is (sqrt(20) - 1)/(sqrt(20) + 1) = 0.63
    assert "comes back" in said["why Adam overshoots"][0]
    assert page.script("return shownRules()") == [2]
    past = page.script("return passed(paths[2]).far")
    assert float(re.search(r"past the minimum by (\S+) and", said["why Adam overshoots"][0])[1]) == pytest.approx(
        past, rel=0.05
    )
    page.enter("#function", "rosenbrock")  # where theory holds near the minimum only
    page.script(SETTLED)
    assert page.text("#tour") == ""


def test_a_guided_step_starts_where_the_page_was(opened):
    """Not where the one before it led; and its sentence goes when a rule is changed by hand."""
    page = opened(config(["sgd", "momentum", "adam"]), "sgd.lr=0.2&momentum.beta=0.8")
    page.script(SETTLED)
    step = "[...document.querySelectorAll('#tour button')].find((b) => b.textContent === arguments[0]).click()"
    page.script(step, "just above the limit")
    page.script(SETTLED)
    assert page.script("return state.rules[0].values.lr") == 0.51
    page.script(step, "momentum's sweet spot")
    page.script(SETTLED)
    assert page.script("return state.rules[0].values.lr") == 0.2
    page.script(step, "why Adam overshoots")
    page.script(SETTLED)
    assert page.text("#title") == "adam on ravine"
    assert "hidden" in page.text("#tour [role=status]")
    page.script(step, "just below the limit")
    page.script(SETTLED)
    assert page.script("return [shownRules(), state.rules[1].values.beta]") == [[0, 1, 2], 0.8]
    page.enter("#rule0-lr-exact", "0.1")
    page.script(SETTLED)
    assert page.text("#tour [role=status]") == ""


@pytest.mark.parametrize("width", [360, 1280])
def test_no_name_lies_on_a_curve(width, opened):
    """That of the axis stands before its first number, that of the start where no path goes."""
    page = opened(config([{"name": "momentum", "lr": 0.001}, "adam"], "rosenbrock"), width=width)
    page.script(SETTLED)
    names = "return [...document.querySelectorAll('#losses .axes text')].map((text) => text.textContent)"
    assert "epoch 0" in page.script(names)
    crossing = page.script(
        "const place = (point) => [ground.x(point[0]), ground.y(point[1])], [x, y] = place(state.start);"
        "const side = handle.classList.contains('left') ? -1 : 1, way = handle.classList.contains('up') ? -1 : 1;"
        "return paths.flatMap((path) => (path ? strides(path, place) : [])).filter(([a, b]) =>"
        " side * (a - x) > 12 && side * (a - x) < 45 && way * (b - y) > 5 && way * (b - y) < 15).length"
    )
    assert crossing == 0


def test_a_sentence_says_who_is_ahead(opened):
    page = opened(config([{"name": "sgd", "lr": 0.6}, {"name": "momentum", "lr": 0.1}, "adam"]))
    page.script(SETTLED)
    assert re.fullmatch(
        r"After 60 epochs adam is nearest to the minimum, [\d.]+ from it; sgd has diverged\.", page.text("#answer")
    )
    page.script("show(0)")
    page.script(SETTLED)
    assert page.text("#answer") == "The start is 5.4 from the minimum."
    page.enter("#own", "x^3 + y^2")
    page.enter("#rule0-lr-exact", "0.001")
    page.script("show(60)")
    page.script(SETTLED)
    assert re.match(r"After 60 epochs \w+ is lowest: f = ", page.text("#answer"))


def test_no_rate_at_the_limit_is_chosen_for_another_function(opened):
    page = opened(config(["sgd", "momentum", "adam"]))
    page.enter("#function", "easom")
    page.script(SETTLED)
    told = page.script("return [...document.querySelectorAll('#cards .theory')].map((part) => part.textContent)")
    assert any("stable up to lr" in text for text in told)
    assert not [text for text in told if "unstable" in text]


NAMES = (
    "return [...document.querySelectorAll('#results th, #ground .name, #sliders label')].map((e) => e.textContent)"
    ".concat(document.querySelector('#start1').getAttribute('aria-label'))"
)


def test_coordinates_have_the_names_of_the_formula(opened):
    """On axes, sliders and in tables; those of a test function are w1 and w2."""
    page = opened(config(["adam"]), width=1500)
    page.script(SETTLED)
    names = page.script(NAMES)
    assert {"w1", "w2", "w\u2081", "w\u2082"} < set(names)
    page.enter("#own", "(x - 1)^4 + y^2")
    page.script(SETTLED)
    names = page.script(NAMES)
    assert (names.count("x"), names.count("y")) == (4, 3)
    assert not [name for name in names if name.startswith("w")]
    assert page.text("#formula") == "f(x, y) = (x - 1)^4 + y^2"
    page.enter("#function", "booth")
    page.script(SETTLED)
    assert {"w1", "w2"} < set(page.script(NAMES))


def test_the_start_slides_over_the_box_of_the_function_that_is_shown(opened):
    page = opened(config(["sgd"]))
    page.enter("#function", "easom")
    page.enter("#start1", 500)
    page.script(SETTLED)
    low, high = page.script("return fn.box[0]")
    assert page.script("return state.start[0]") == pytest.approx(high + 0.04 * (high - low), abs=0.02)


def test_dragging_the_start_leaves_theory_as_it_is(opened):
    """It depends on the optimizers and the function: nothing of it is drawn again."""
    page = opened(config(["sgd", "momentum"]))
    page.script(SETTLED)
    before = page.script("return window.curve = document.querySelector('#rates [data-rate]'), curve !== null")
    page.enter("#start1", 100)
    page.script(SETTLED)
    assert before
    assert page.script("return curve.isConnected")
    page.enter("#rule0-lr", 100)
    page.script(SETTLED)
    assert not page.script("return curve.isConnected")


@pytest.mark.parametrize("width", [1100, 1200, 1500])
def test_headings_of_pictures_are_whole(width, opened):
    page = opened(config(["sgd", "momentum", "adam", "rmsprop", "adagrad"]), width=width)
    page.script(SETTLED)
    cut = (
        "return [...document.querySelectorAll('figure h2')].filter((h) => h.scrollWidth > h.clientWidth)"
        ".map((h) => h.textContent)"
    )
    assert page.script(cut) == []


def test_of_equally_near_optimizers_none_is_ahead(opened):
    small = [{"name": name, "lr": 0.0002} for name in ("sgd", "momentum", "adam")]
    page = opened(config(small, function="rastrigin", start=[2.985, 2.985]))  # another minimum
    page.script(SETTLED)
    far = page.script("return shownRules().map((i) => nearest(pointOf(paths[i], paths[i].count - 1)).distance)")
    assert max(far) < 1.01 * min(far)
    assert page.text("#answer") == (
        "After 60 epochs none has come near the minimum: adam, momentum, sgd are 4.2 from it."
    )
    page.enter("#function", "easom")
    page.script(SETTLED)
    assert (
        page.text("#answer") == "After 60 epochs sgd, momentum have reached the minimum."
    )  # rounding has no winner
    page.enter("#own", "(x - 1)^2 + (y + 1)^2 - 4")
    page.script("for (const i of state.listed) state.rules[i].shown = i < 2; changed()")
    page.script(SETTLED)
    assert page.text("#answer") == "After 60 epochs sgd, momentum are equally low, at f = \u22124."
    page.script("for (const i of state.listed) state.rules[i].shown = true; changed()")
    page.enter("#function", "rastrigin")
    page.script("state.start = [0.001, 0.001]; changed()")
    page.script(SETTLED)
    assert " none " not in page.text("#answer")


def test_what_does_nothing_is_disabled_and_what_is_wrong_is_red(opened):
    page = opened(config(["sgd", "adam"]))
    page.script(SETTLED)
    disabled = "return ['#seed', '#seed-exact'].map((id) => document.querySelector(id).disabled)"
    assert page.script(disabled) == [True, True]
    assert float(page.script("return getComputedStyle(document.querySelector('#seed')).opacity")) < 1
    page.enter("#noise-exact", "0.5")
    page.script(SETTLED)
    assert page.script(disabled) == [False, False]
    page.enter("#own", "x^2 + q")
    color = "return getComputedStyle(document.querySelector(arguments[0])).color"
    assert page.script(color, "#told") == page.script(color, ".slider .wrong")
    page.enter("#own", "x^2 + y^2 + 1")
    assert page.script(color, "#told") != page.script(color, ".slider .wrong")


def test_a_note_on_the_settings_goes_with_their_function(page, tmp_path):
    settings = config(["sgd", "momentum"])
    pages.write_page(tmp_path / "play.html", play.page(settings, "By default sgd would diverge here"))
    page.open(tmp_path / "play.html")
    shown = "return document.querySelector('#note').checkVisibility()"
    assert page.script(shown)
    page.enter("#function", "sphere")
    page.script(SETTLED)
    assert not page.script(shown)


def test_a_path_that_reaches_the_minimum_flattens_no_other(opened):
    """The axis of the loss has 16 decades at most; no axis has one number alone."""
    page = opened(config(["sgd", "adam"], function="sphere"), width=1500)
    page.script("state.rules[0].values.lr = 0.45; state.epochs = 1000; changed()")
    page.script(SETTLED)
    assert page.script("return losses.ys[1] - losses.ys[0]") <= 16
    assert "sgd \u2193" in page.script("return document.querySelector('#losses').textContent")
    assert page.script("return [ticks(-4.9, 4.9, 3), ticks(-3, 3, 3)]") == [[-4, -2, 0, 2, 4], [-2, 0, 2]]


def test_pictures_without_lines_say_why(opened):
    """And stay where they are."""
    page = opened(config(["sgd", "adam"]), width=1500)
    empty = "return ['losses', 'rates'].map((id) => document.querySelector(`#${id} .area`).dataset.empty)"
    places = "return [...document.querySelectorAll('.area')].map((area) => area.getBoundingClientRect().height)"
    page.script(SETTLED)
    before = page.script(places)
    assert page.script(empty) == ["", ""]
    assert page.text("#rates h2") == "Theory: stable below ×1; none for adam"
    page.enter("#own", "x^2 + y^4")
    page.script(SETTLED)
    assert page.script(empty) == ["", "no theory: it needs a known minimum with a curvature"]
    assert page.script(places) == pytest.approx(before, abs=1)
    assert page.text("#rates h2") == "Theory"
    for index in (0, 1):
        page.enter(f"#rule{index}-shown", False)
    page.script(SETTLED)
    assert page.script(empty) == ["no optimizer is ticked"] * 2
    assert page.text("#answer") == "No optimizer is ticked."


def test_the_curve_of_theory_fills_its_picture(opened):
    page = opened(config([{"name": "momentum", "lr": 0.001}], "rosenbrock"))
    page.script(SETTLED)
    assert page.script("return rates.box.ys[0]") >= 0.9
    assert page.script("const {y} = rates.spots[0]; return y > rates.box.y(1) && y < rates.box.bottom")


def test_a_wrong_number_is_told_beside_it_until_it_is_right(opened):
    page = opened(config(["sgd"]))
    page.script(SETTLED)
    lr = page.script("return state.rules[0].values.lr")
    page.enter("#rule0-lr-exact", "-1")
    page.press("#rule0-shown", " ", " ")
    page.script(SETTLED)
    assert f"lr: greater than 0; the paths are those of {lr:g}" in page.text("section[aria-label=sgd]")
    pale = "return getComputedStyle(document.querySelector('#ground .line')).opacity"
    assert float(page.script(pale)) < 0.5
    typed = (
        "const field = document.querySelector('#rule0-lr-exact'); field.value = arguments[0];"
        "field.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.script(typed, "-12")  # and it stands while the reader types
    assert "the paths are those" in page.text("section[aria-label=sgd]")
    page.script(typed, "12")
    assert "the paths are those" not in page.text("section[aria-label=sgd]")
    page.enter("#rule0-lr-exact", "-1")
    page.enter("#rule0-lr", "250")
    page.script(SETTLED)
    assert "the paths are those" not in page.text("section[aria-label=sgd]")
    assert page.script(pale) == "1"
    assert page.script(
        "return Number(document.querySelector('#rule0-lr-exact').value) === state.rules[0].values.lr"
    )


def test_a_variant_that_is_not_the_default_says_so(opened):
    page = opened(config(["adam"]))
    page.script(SETTLED)
    assert "default: outside" in page.text("section[aria-label=adam]")
    page.enter("#rule0-eps_placement", "outside")
    page.script(SETTLED)
    assert "default:" not in page.text("section[aria-label=adam]")


def test_without_scripts_nothing_asks_for_them(page, tmp_path):
    """Neither a table without rows nor a word on what to drag; the sentence that says why, and the picture."""
    pages.write_page(tmp_path / "play.html", play.page(config(["sgd"])))
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.opened = (tmp_path / "play.html").as_uri()
        page.driver.get(page.opened)
        nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    names = " ".join(str(node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"])
    assert "sgd on ravine" in names
    assert "This page needs JavaScript" in names
    assert not re.search("Drag|At this epoch|Every epoch", names)


def test_both_axes_of_a_plane_have_one_scale(opened):
    """So the path crosses the lines of equal height at right angles."""
    page = opened(config(["sgd"]))
    for width in (360, 1280):
        page.resize(width)
        page.script(SETTLED)
        across, up = page.script("return [ground.x(1) - ground.x(0), ground.y(0) - ground.y(1)]")
        assert across == pytest.approx(up, rel=1e-6)


@pytest.mark.parametrize("function", ["rosenbrock", "himmelblau", "x^4 - x^2"])
def test_the_page_opens_on_settings_that_work(function, optilab, page, tmp_path):
    done = optilab("play", "--algo", "sgd,momentum,adam", "--function", function, "--out", "play.html")
    assert "at these settings" not in done.stderr
    assert ("By default sgd" in done.stderr) == (function != "x^4 - x^2")  # where nothing diverges by default
    page.open(tmp_path / "play.html")
    assert "diverged" not in page.script("return state.listed.map((index) => paths[index].status)")
    values = page.script("return state.listed.flatMap((index) => Object.values(state.rules[index].values))")
    assert all(len(f"{value:g}") <= 8 for value in values)
    optilab("play", "--algo", "sgd", "--function", function, "--lr", "1", "--out", "play.html")
    page.open(tmp_path / "play.html")
    assert page.script("return state.rules[0].values.lr") == 1  # what was typed stays


def test_a_start_outside_the_domain_is_a_path_of_one_point(opened):
    function = {"name": "expression", "formula": "log(w1) + w1^2 + w2^2"}
    page = opened(config(["sgd"], function, start=[1.0, 1.0]), "start=-1,1")
    page.script(SETTLED)
    assert page.script("return paths[0].status") == "diverged"


def test_a_rule_of_the_users_own(opened, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def turning(w, g, V, lr=0.05, beta=0.9, keep=0.0):\n"
        "    V = np.where(V * g < 0, keep * V, V)\n    V = beta * V + g\n    return w - lr * V, V\n"
        "def loops(w, g, lr=0.1):\n    return w - lr * g if g[0] > 0 else w\n"
    )
    settings = config([f"{tmp_path}/mine.py:turning"])
    page = opened(settings)
    agreeing(settings.algo[0], settings.function, rows(page)[0])
    page.enter("#rule0-keep-exact", "0.5")
    agreeing(replace(settings.algo[0], keep=0.5), settings.function, rows(page)[0])
    with pytest.raises(
        UsageError,
        match=r"loops cannot be shown interactively: an if depends on a value; for a recording: optilab optimize",
    ):
        play.require(config([f"{tmp_path}/mine.py:loops"]).algo[0], settings.function)


def test_paths_that_the_page_cannot_compute_are_recordings(page, tmp_path):
    settings = config(["newton", "sgd", "momentum"])
    paths = [descend(rule, settings.function, steps=60) for rule in settings.algo]
    pages.write_page(tmp_path / "play.html", play.page(settings, paths=paths))
    page.open(tmp_path / "play.html")
    found = rows(page)
    np.testing.assert_allclose(found[0][:, :2], paths[0].points, rtol=1e-8)
    assert np.array_equal(found[1][:, :2], paths[1].points)
    assert "it needs the Hessian" in page.text("section[aria-label=newton]")
    assert (
        page.script("return document.querySelectorAll('section[aria-label=newton] input[type=range]').length") == 0
    )


def test_recordings_of_long_paths_are_thinned(page, tmp_path):
    noisy = config(["sgd", "adam"], epochs=20_000, noise=0.1)
    paths = [descend(rule, noisy.function, steps=noisy.epochs, regime=noisy.regime) for rule in noisy.algo]
    pages.write_page(tmp_path / "noisy.html", play.page(noisy, paths=paths))
    assert (tmp_path / "noisy.html").stat().st_size < LIMIT
    page.open(tmp_path / "noisy.html", "at=10000&epochs=7&start=1,1")
    page.script(SETTLED)
    assert page.text("#epoch") == "epoch 10000 of 20000"
    assert page.script("return document.querySelectorAll('[data-path]').length") == 2
    assert page.script("return document.querySelector('#start').disabled")


def test_the_command_writes_a_page(optilab, tmp_path):
    shown = optilab("play", "--algo", "sgd,adam", "--function", "rosenbrock", "--lr", "0.4", "--out", "a.html")
    assert (tmp_path / "a.html").as_uri() in shown.stdout
    assert "at these settings sgd diverges; the page shows the limits" in " ".join(shown.stderr.split())
    first = (tmp_path / "a.html").read_bytes()
    optilab("play", "--algo", "sgd,adam", "--function", "rosenbrock", "--lr", "0.4", "--out", "a.html")
    assert (tmp_path / "a.html").read_bytes() == first
    document = json.loads(optilab("play", "--algo", "sgd", "--json").stdout)
    assert document["file"] == "play.html"
    assert document["bytes"] == (tmp_path / "play.html").stat().st_size
    assert optilab("play", "--algo", "sgd", "--tune", "5", "--quiet").stdout == "play.html\n"
    optilab("optimize", "--algo", "sgd,newton", "--epochs", "12", "--out", "b.html", "--no-save")
    assert (tmp_path / "b.html").stat().st_size < LIMIT
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "play needs an optimizer or a config, as in: optilab play sgd,momentum,adam"),
        ("--algo newton", "newton cannot be shown interactively: it needs the Hessian"),
        ("--algo sgd --function logistic-regression", "logistic-regression has 3; for example --function rosenbrock"),
        ("--algo sgd --set function={name: rosenbrock, dimension: 3}", "one or two variables; rosenbrock has 3"),
        ("--algo sgd --set noise=0.1", "play runs an optimizer as it is; remove noise"),
        ("--algo sgd --epochs 20000", "at most 10,000 epochs, got 20,000"),
        ("--algo sgd --out mine.html", "is not a page of optilab"),
        ("--algo sgd --out page.pdf", "unknown extension"),
        ("--algo sgd --out no/page.html", "there is no directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_page_is_refused(words, message, optilab, tmp_path):
    (tmp_path / "mine.html").write_text("<p>mine")
    head, *settings = words.split(" --set ")
    arguments = [*head.split(), *(["--set", settings[0]] if settings else [])]
    assert message in " ".join(optilab("play", *arguments, code=2).stderr.split())
    assert (tmp_path / "mine.html").read_text() == "<p>mine"
    assert not (tmp_path / "play.html").exists()
