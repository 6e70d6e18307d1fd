"""The playground in Chromium: what is moved moves the trajectories, whose numbers optimize/test_javascript.py has."""

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
from tests.optimize.test_javascript import HOSTILE_FORMULAS, RUNNING_RULES, agreeing

LIMIT = 250_000  # bytes
PATHS = "return paths.map((path) => Array.from(path.rows.slice(0, path.count * WIDTH)))"
FRAMES = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"
WAIT_FOR = "return new Promise((done) => {{ const look = () => ({}) ? done(0) : setTimeout(look, 20); look(); }})"
STATUSES = "return paths.map((path) => path.status)"
VERDICTS = "return [...document.querySelectorAll('.card .verdict')].map((verdict) => verdict.textContent)"
SETTINGS = "return state.rules.map(({rule, values}) => ({...rule.fixed, ...values}))"
FRAGMENT = "return fragment()"
CURVES = (
    "return [...document.querySelectorAll(`${arguments[0]} .line[data-name]:not(.later)`)]"
    ".map((line) => line.getAttribute('d'))"
)
RIGHT = "\ue014"


def config(algo, function="ravine", **more):
    rules = "literature" if len(algo) > 4 else "exercise"
    return load(OptimizeConfig, {"algo": algo, "function": function, "epochs": 60, **more}, rules=rules)


@pytest.fixture
def opened(page, tmp_path):
    """Opens the page of a config in the browser."""

    def open_page(settings, fragment="", **window):
        pages.write_page(tmp_path / "play.html", play.page(settings))
        page.open(tmp_path / "play.html", fragment, **window)
        page.script(FRAMES)
        return page

    return open_page


def enter(page, **controls):
    """Change controls by their ids, where a minus sign is an underscore, and wait for the pictures."""
    for name, value in controls.items():
        page.enter(f"#{name.replace('_', '-')}", value)
    page.script(FRAMES)


def click(page, *names):
    for name in names:
        page.script(f"document.querySelector('#{name}').click()")
    page.script(FRAMES)


def rows(page, dimension=2):
    """The rows that the page computed: per rule (n, 2d + 1)."""
    return [np.array(flat, dtype=float).reshape(-1, 2 * dimension + 1) for flat in page.script(PATHS)]


def follows(page, function, **more):
    """Assert that the page's trajectories are those of `descend` with the page's settings."""
    for rule, path in zip(config(page.script(SETTINGS), "ravine").algo, rows(page), strict=True):
        agreeing(rule, function, path, **more)


def results(page, optilab):
    """The results of the command that the page shows."""
    program, *words = shlex.split(page.script("return document.querySelector('#command').textContent"))
    assert program == "optilab"
    return json.loads(optilab(*words, "--json", "--no-save").stdout)["results"]


# --- trajectories ------------------------------------------------------------------------------------------


def test_functions_and_rules_are_chosen_in_the_page(opened, optilab, tmp_path):
    """The trajectories of what is chosen are those of `descend`, of the page's command and of its address."""
    page = opened(config(["sgd", "momentum"]))
    page.enter("#function", "branin")
    for name in ("adan", "sam"):
        page.enter("#rule", name)
    page.script(FRAMES)
    assert page.text("#title") == "sgd, momentum, adan, sam on branin"
    assert "diverged" not in page.script(STATUSES)
    follows(page, OBJECTIVES["branin"]())
    paths = rows(page)
    points = [result["points"][9] for result in results(page, optilab)]
    assert points == [pytest.approx(path[9, :2]) for path in paths]
    page.open(tmp_path / "play.html", page.script(FRAGMENT))
    assert all(np.array_equal(a, b) for a, b in zip(rows(page), paths, strict=True))
    click(page, "reset")
    assert page.script("return [fragment(), state.rules.length]") == ["", 2]


def test_every_rule_and_function_of_the_list_works(opened):
    """No pair fails, and none opens on a trajectory that diverges where a learning rate can help."""
    page = opened(config(["sgd"]))
    count, ended = page.script(
        "const ended = {};"
        "for (const fn of data.functions) { arrange(initialState(fn, data.rules));"
        " ended[fn.key] = paths.flatMap((path, i) => path.status === 'diverged' ? [data.rules[i].key] : []); }"
        "return [data.rules.length, ended]"
    )
    assert count == len(RUNNING_RULES)
    assert set(ended) == {*OBJECTIVES} - {"logistic-regression", "expression"}
    assert {name for names in ended.values() for name in names} <= {"sam", "barzilai-borwein"}


def test_noise_is_added_to_every_gradient(opened, optilab, tmp_path):
    """The rule sees gradient and noise, the page shows the gradient, and every rule gets the same numbers."""
    page = opened(config([{"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 0.2}, "sam"]))
    still = rows(page)
    enter(page, noise_exact="0.5", seed_exact="7")
    numbers = np.array(page.script("return Array.from(draws(7, 40_000))"))
    assert abs(numbers.mean()) < 0.03
    assert numbers.std() == pytest.approx(1, abs=0.02)
    assert np.mean(np.abs(numbers) < 1.96) == pytest.approx(0.95, abs=0.01)
    paths, noise = rows(page), 0.5 * numbers[: 2 * 60].reshape(-1, 2)
    for lr, path in zip((0.1, 0.2), paths[:2], strict=True):
        steps = path[:-1, :2] - lr * (path[:-1, 3:] + noise)
        np.testing.assert_allclose(path[1:, :2], steps, rtol=1e-12, atol=1e-15)
        assert np.array_equal(path[:, 3:], OBJECTIVES["ravine"]().gradient(path[:, :2]))
    assert np.array_equal(paths[2], still[2])  # it evaluates gradients itself
    assert len(results(page, optilab)) == 2
    page.open(tmp_path / "play.html", "noise=0.5&seed=7")
    assert np.array_equal(rows(page)[0], paths[0])
    enter(page, seed_exact="8")
    assert not np.array_equal(rows(page)[0], paths[0])


def test_custom_rule_runs_by_its_formula(opened, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Decayed:\n"
        "    formula = 'V <- beta*V + g; w <- w - lr*V - keep*w'\n"
        "    def __init__(self, lr=0.05, beta=0.9, keep=0.0):\n"
        "        self.lr, self.beta, self.keep, self.V = lr, beta, keep, 0.0\n"
        "    def update(self, w, g):\n"
        "        self.V = self.beta*self.V + g\n"
        "        return w - self.lr*self.V - self.keep*w\n"
        "def plain(w, g, lr=0.1):\n    return w - lr*g\n"
    )
    settings = config([f"{tmp_path}/mine.py:Decayed"])
    page = opened(settings)
    agreeing(settings.algo[0], settings.function, rows(page)[0])
    page.enter("#rule0-keep-exact", "0.5")
    agreeing(replace(settings.algo[0], keep=0.5), settings.function, rows(page)[0])
    with pytest.raises(UsageError, match="plain has no formula that a page could run"):
        play.page(config([f"{tmp_path}/mine.py:plain"]))


# --- formulas ----------------------------------------------------------------------------------------------


def test_typed_formula_is_a_function_of_the_page(opened, optilab, tmp_path):
    page, formula = opened(config(["sgd", "adam"])), "exp(x/2) + exp(-x) + 2y^2 + max(x, y)^2"
    enter(page, typed_function=formula)
    assert page.script("return state.fn.key") == formula, page.text("#message")
    follows(page, OBJECTIVES["expression"](formula=formula), start=[-1.0, 1.0])
    page.open(tmp_path / "play.html", page.script(FRAGMENT))
    assert page.script("return state.fn.key") == formula
    assert results(page, optilab)
    enter(page, typed_function="0.1*w1^2+2 w2^2")  # that of a test function, which is known better
    assert page.script("return [state.fn.key, fragment()]") == ["ravine", ""]


def test_typed_formula_is_an_optimizer_of_the_page(opened, optilab, tmp_path):
    """Its free names are settings, and its signs have their place in the address."""
    formula = "v = where(V*g < 0, keep*V, V);  V <- beta*v + g % 100;  w <- w - lr*V"
    page = opened(config(["sgd"]))
    enter(page, typed_rule=formula)
    enter(page, rule1_lr_exact="0.06", rule1_keep_exact="0.25", rule1_beta_exact="0.8")
    w, V = np.array([-5.0, -2.0]), np.zeros(2)
    for row in rows(page)[1]:
        assert np.array_equal(row[:2], w)
        g = OBJECTIVES["ravine"]().gradient(w)
        V = 0.8 * np.where(V * g < 0, 0.25 * V, V) + g % 100
        w = w - 0.06 * V
    assert results(page, optilab)[1]["points"][9] == rows(page)[1][9, :2].tolist()
    page.open(tmp_path / "play.html", page.script(FRAGMENT))
    assert page.script("return state.rules.map(({rule}) => rule.key)") == ["sgd", formula]
    assert page.script("return state.rules[1].values") == {"keep": 0.25, "beta": 0.8, "lr": 0.06}
    for wrong in ("w <- w - lr*(g", "V <- g", "w <- w - lr*H", "sgd <-", "w <- w - lr*v; v = g", "w - g"):
        enter(page, typed_rule=wrong)
        assert page.script("return [state.rules.length, byId('message').textContent !== '']") == [2, True], wrong


def test_formula_of_the_command_is_an_optimizer_of_the_page(opened, optilab, tmp_path):
    page = opened(config([{"formula": "V <- beta*V + g; w <- w - lr*V", "beta": 0.9, "lr": 0.05}, "sgd"]))
    enter(page, rule0_beta_exact="0.7")
    follows(page, OBJECTIVES["ravine"]())
    page.open(tmp_path / "play.html", page.script(FRAGMENT))
    assert page.script("return state.rules[0].values") == {"beta": 0.7, "lr": 0.05}
    assert len(results(page, optilab)) == 2


def test_wrong_formula_changes_nothing(opened):
    """The page names a column where `optimize` refuses the formula, too; in its address, it is passed over."""
    page = opened(config(["sgd"]))
    texts = "|x +|x y)|(x + y|foo(x)|sin x|min(x)|x^2 + z|x & y|max(x, y, 2)|2..3|x, y|3 4"
    for formula in texts.split("|"):
        page.enter("#typed-function", formula)
        assert re.match(r"column \d+: ", page.text("#message")), formula
        assert page.script(FRAGMENT) == ""
        with pytest.raises(UsageError):
            OBJECTIVES["expression"](formula=formula)
    accepted = (
        "return arguments[0].filter((text) => attempt(() => functionOf(text)) || attempt(() => ruleOf(text)))"
    )
    assert page.script(accepted, HOSTILE_FORMULAS) == []
    for text in HOSTILE_FORMULAS[:20]:
        page.script(
            "location.hash = `function=${encodeURIComponent(arguments[0])}&algo=${arguments[0]}`; open()", text
        )
        assert page.script("return [state.fn.key, state.rules.length, window.live ?? 0]") == ["ravine", 1, 0], text


@pytest.mark.parametrize("formula", ["x^4 - x^2", pytest.param("x^3", marks=pytest.mark.nightly)])
def test_formula_of_one_variable_is_a_curve(formula, opened):
    """Its trajectory, its dragged start, and theory and distance where its minimum is found."""
    settings = config(["sgd", "adam"], {"name": "expression", "formula": formula}, start=[2.0])
    page, has_minimum = opened(settings), formula == "x^4 - x^2"
    for rule, path in zip(settings.algo, rows(page, 1), strict=True):
        agreeing(rule, settings.function, path, start=[2.0])
    assert [curve.count("M") for curve in page.script(CURVES, "#losses")] == [1, 1]  # without holes
    assert ("stable up to lr" in page.text("#cards section")) == has_minimum
    assert ("distance" in page.text("#results")) == has_minimum
    page.drag("#ground", (200, 100), (200, 100))
    assert page.script("return [state.start.length, isFinite(state.start[0])]") == [1, True]


# --- controls ----------------------------------------------------------------------------------------------


def test_slider_moves_path_loss_and_theory(opened):
    page = opened(config(["momentum", "adam"]))
    charts = {"#ground": 2, "#losses": 2, "#rates": 1}
    before = {name: page.script(CURVES, name) for name in charts}
    assert {name: len(lines) for name, lines in before.items()} == charts
    page.press("#rule0-beta", RIGHT)
    page.script(FRAMES)
    after = {name: page.script(CURVES, name) for name in charts}
    assert all(before[name][0] != after[name][0] for name in before)
    assert [before[name][1] for name in ("#ground", "#losses")] == [
        after[name][1] for name in ("#ground", "#losses")
    ]
    predicted = theory.predict(config(page.script(SETTINGS)).algo[0], OBJECTIVES["ravine"]())
    limit = float(page.script("return document.querySelector('[data-limit]').dataset.limit"))
    assert limit == pytest.approx(predicted.largest_lr, rel=1e-12)
    assert f"×{predicted.rate:.4f} per step" in page.text("section[aria-label=momentum]")
    enter(page, rule0_lr_exact=str(limit * 1.01))
    assert "this lr is unstable" in page.text("section[aria-label=momentum]")


CORNER = "const b = document.querySelector('#ground .frame').getBoundingClientRect(); return [b.left, b.top]"


def test_start_is_dragged_by_mouse_finger_and_keys(opened):
    page = opened(config(["sgd"]), width=800)
    middle = "const b = document.querySelector('#start').getBoundingClientRect(); return [b.left + 22, b.top + 22]"
    held = np.subtract(page.script(middle), page.script(CORNER))
    page.drag("#ground", held.tolist(), (250, 100))
    page.script(FRAMES)
    moved = page.script("return state.start")
    assert np.subtract(page.script(middle), page.script(CORNER)) == pytest.approx([250, 100], abs=1)
    agreeing(config(["sgd"]).algo[0], OBJECTIVES["ravine"](), rows(page)[0], start=moved)
    assert float(page.script("return document.querySelector('#start1-exact').value")) == moved[0]
    value = page.text("#here").partition(" = ")[2].replace("\N{MINUS SIGN}", "-")
    assert float(value) == pytest.approx(OBJECTIVES["ravine"]().value(np.array(moved)), rel=0.02)
    page.press("#start", RIGHT)
    right = page.script("return state.start")
    assert right[0] > moved[0]
    assert right[1] == moved[1]
    page.script(FRAMES)
    x, y = page.script(middle)
    for kind, places in (("touchStart", [(x, y)]), ("touchMove", [(x + 40, y - 30)]), ("touchEnd", [])):
        points = [{"x": x, "y": y, "id": 0} for x, y in places]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touched = page.script("return state.start")
    assert touched[0] > right[0]
    assert touched[1] > right[1]


def test_picture_is_moved_and_stretched(opened):
    """By mouse, wheel and buttons; what was under the hand stays under it."""
    page = opened(config(["sgd", "adam"]), width=800)
    sides = "return sides()"
    at = f"const [left, top] = (() => {{ {CORNER} }})(); const [x, y] = arguments[0];" + (
        "return pointerPlace(ground, {clientX: left + x, clientY: top + y})"
    )
    whole, before = np.array(page.script(sides)), page.script(at, [200, 150])
    page.drag("#ground", (200, 150), (260, 190))
    assert page.script(at, [260, 190]) == pytest.approx(before)
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole))
    assert page.script("return [state.start, fragment().startsWith('view=')]") == [[-5, -2], True]
    click(page, "whole")
    assert page.script(FRAGMENT) == ""
    page.script("scrollTo(0, 0)")
    left, top = page.script(CORNER)
    wheel = {"type": "mouseWheel", "x": left + 200, "y": top + 150, "deltaX": 0, "deltaY": -50}
    page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", wheel | {"modifiers": 2})
    page.script(FRAMES)
    assert page.script(at, [200, 150]) == pytest.approx(before, abs=0.03)  # wheel events have whole pixels
    assert np.diff(page.script(sides)) == pytest.approx(np.diff(whole) / 2**0.5)
    click(page, "whole", "closer")
    assert np.array(page.script(sides)) == pytest.approx(whole / 2)  # the minimum at 0 stays where it is
    click(page, "whole")
    place = page.script(at, [300, 120])
    page.drag("#ground", (300, 120), (300, 120))  # a click moves the start
    assert page.script("return state.start") == pytest.approx(place, abs=0.05)  # in whole pixels


def test_address_keeps_settings_and_reset_forgets_them(opened, tmp_path):
    page = opened(config(["sgd", "momentum", "sgd"]))
    assert page.script(FRAGMENT) == ""
    enter(page, rule0_lr_exact="0.25", start1_exact="-4", epochs_exact="33", rule2_lr_exact="0.5")
    enter(page, rule1_form="classic", rule0_shown=False, at=12)
    page.script(WAIT_FOR.format("location.hash.slice(1) === fragment()"))
    link = page.script("return location.hash.slice(1)")
    assert set(link.split("&")) == {
        "start=-4,-2", "epochs=33", "at=12", "sgd.lr=0.25", "sgd.shown=false", "momentum.form=classic", "sgd-2.lr=0.5",
    }  # fmt: skip
    state = "return JSON.stringify([state, paths.map(({rows}) => Array.from(rows))])"
    before = page.script(state)
    page.open(tmp_path / "play.html", link)
    assert page.script(state) == before
    click(page, "reset")
    page.script(WAIT_FOR.format("location.hash.slice(1) === fragment()"))
    assert page.script("return [fragment(), location.hash]") == ["", ""]


def test_wrong_numbers_and_addresses_change_nothing(opened):
    for link in (
        "sgd.lr=-1&sgd.lr=x&sgd.lr=&adam.lr=1&start=1&start=a,b&epochs=0&epochs=1e9&at=-1&=&&%E0%A4%A&sgd=1&.lr=2",
        "sgd.__proto__=1&__proto__.lr=1&constructor.lr=2&sgd.constructor=1&momentum.form=<b>&view=1,2&algo=%&function=%",
    ):
        page = opened(config(["sgd", "momentum"]), link)
        assert page.script("return [fragment(), JSON.stringify(state) === JSON.stringify(initialState())]") == [
            "",
            True,
        ]
    for view in ("1,1.0000000000000002,1,1.0000000000000002", "-1e308,1e308,-1e308,1e308", "1e29,1e30,0,5e-324"):
        assert (
            opened(config(["sgd"]), f"view={view}&sgd.lr=1e308&start=1e99,2").text("#epoch") == "epoch 60 of 60"
        ), view
    page = opened(config(["sgd", "momentum"]))
    for number in ("-1", "0", "x", ""):
        enter(page, rule0_lr_exact=number)
        message = page.script("return document.querySelector('#rule0-lr-exact').validationMessage")
        assert message == "lr is a number greater than 0"
    assert page.script(FRAGMENT) == ""
    enter(page, rule0_lr="250")
    assert page.script("return document.querySelector('#rule0-lr-exact').validationMessage") == ""


def test_time_runs_steps_and_stops(opened):
    page = opened(config(["sgd", "adam"]))
    page.press("#at", *["\ue012"] * 2)  # the left arrow
    page.script(FRAMES)
    assert page.text("#epoch") == "epoch 58 of 60"
    click(page, "play")
    assert page.text("#play") == "pause"
    page.script(WAIT_FOR.format("!playing"))
    assert page.script("return [shownEpoch(), state.at]") == [60, None]


# --- texts and pictures ------------------------------------------------------------------------------------


def test_tables_hold_the_numbers_of_the_epoch(opened):
    settings = config([{"name": "sgd", "lr": 0.505}, "adam"])  # which diverges slowly
    page = opened(settings)
    cells = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent.trim()))"
    )
    for epoch in (0, 7, 60):
        page.script("show(arguments[0])", epoch)
        page.script(FRAMES)
        table = page.script(cells, "#results tbody tr")
        for rule, row, verdict in zip(settings.algo, table, page.script(VERDICTS), strict=True):
            path = descend(rule, settings.function, steps=epoch)
            assert row[:2] == [rule.name, str(epoch)]
            numbers = [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in row[2:6]]
            expected = [*path.points[-1], path.values[-1], path.gradient_norms[-1]]
            assert numbers == pytest.approx([float(f"{number:.4g}") for number in expected], rel=1e-12)
            assert row[-1] == verdict == path.status.value
    lines = page.script("return csv()").splitlines()
    assert lines[0] == "algo,epoch,w1,w2,f,grad1,grad2"
    assert len(lines) == 1 + 2 * 61
    path = descend(settings.algo[0], settings.function, steps=60)
    assert [float(number) for number in lines[8].split(",")[2:4]] == path.points[7].tolist()


@pytest.mark.parametrize(
    ("function", "lr", "epochs"),
    [("griewank", 0.5, 900), pytest.param("schaffer2", 0.4, 60, marks=pytest.mark.nightly)],
)
def test_end_elsewhere_is_not_called_converged(function, lr, epochs, opened, optilab):
    """In the page and in the terminal; trajectories that reach the minimum have converged."""
    page = opened(config([{"name": "sgd", "lr": lr}], function, epochs=epochs))
    near = [str(w + 0.01) for w in OBJECTIVES[function]().minima[0]]
    words = ("optimize", "sgd", "--lr", lr, "--function", function, "--epochs", epochs, "--no-save")
    for verdict, start in (("converged, not at the minimum", []), ("converged", [f"--start={','.join(near)}"])):
        assert page.script(VERDICTS) == [verdict]
        assert f"{verdict}: f = " in " ".join(optilab(*words, *start).stdout.split())
        enter(page, start1_exact=near[0], start2_exact=near[1])


def test_cards_say_what_overshoots_and_why_f_rises_again(opened, optilab):
    page = opened(config(["sgd", "momentum", "rmsprop"]))
    sgd, momentum, rmsprop = page.script(
        "return [...document.querySelectorAll('#cards .theory')].map((line) => line.textContent)"
    )
    assert "steepest direction ×−0.6, overshoots: oscillates every 2 steps" in sgd
    assert (
        "Flattest direction ×0.8556, no overshoot; steepest direction complex pair, ×0.7071, overshoots"
        in momentum
    )
    assert f"\nrmsprop: {rmsprop}\n" in optilab("optimize", "rmsprop", "--epochs", 60, "--no-save").stdout
    page.script("show(30)")
    page.script(FRAMES)
    assert "rises again" not in page.script("return cards[2].textContent")


def test_guided_steps_are_links_to_what_they_say(opened):
    """On another function there are none."""
    page = opened(config(["sgd", "momentum", "adam"]), "sgd.lr=0.2")

    def step(name):
        find = (
            "const link = [...document.querySelectorAll('#steps a')].find((a) => a.textContent === arguments[0]);"
        )
        text = page.script(find + "link.click(); return link.parentElement.textContent", name)
        page.script(FRAMES)
        return text

    rate = "return theoryOf(state.rules[arguments[0]].rule, state.rules[arguments[0]].values, paths[arguments[0]]).rate"
    assert "sgd at lr 0.49; its limit is 0.5" in step("just below the limit")
    assert "grows by ×1.040 per step in the long run" in step("just above the limit")
    assert page.script(rate, 0) == pytest.approx(1.04)
    assert "at lr 1.12 and beta 0.403" in step("the best lr and beta of momentum")
    assert page.script(rate, 1) == pytest.approx((20**0.5 - 1) / (20**0.5 + 1), rel=0.01)  # of heavy ball
    past = float(re.search(r"goes past it by (\S+)\. ", step("why Adam overshoots"))[1])
    assert past == pytest.approx(np.max(rows(page)[2][:, :2]), rel=0.05)
    assert page.script("return state.rules.map(({shown}) => shown)") == [False, False, True]
    assert (
        "Along w2 (curvature 4) a step multiplies the distance by -0.6: a step is longer than the way to the minimum"
        in step("why sgd overshoots")
    )
    assert "its velocity still points ahead at the minimum, so it overshoots and oscillates" in step(
        "why momentum overshoots"
    )
    assert not opened(config(["sgd"], "rosenbrock")).script("return document.querySelectorAll('#steps a').length")


@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_page_fits_every_width_and_stays_small(dark, opened, tmp_path):
    page = opened(config(list(RULES)[:12], "beale"), dark=dark)
    assert (tmp_path / "play.html").stat().st_size < LIMIT
    for width in (360, 700, 1600):
        page.resize(width)
        page.script(FRAMES)
        assert page.overflow() == 0
        rights = (
            "return [...document.querySelectorAll('.chart, .card')].map((e) => e.getBoundingClientRect().right)"
        )
        assert max(page.script(rights)) <= width
        across, up = page.script(
            "const [x, y] = sides(), {width, height} = ground.querySelector('.frame').getBoundingClientRect();"
            "return [width / (x[1] - x[0]), height / (y[1] - y[0])]"
        )
        assert across == pytest.approx(up, rel=1e-6)  # so trajectories cross contours at right angles
    alpha = page.script(
        "const canvas = document.querySelector('canvas'), {width, height} = canvas;"
        "const image = canvas.getContext('2d').getImageData(0, 0, width, height).data;"
        "return [...new Set(image.filter((_, i) => i % 4 === 3))]"
    )
    assert max(alpha) - min(alpha) > 50
    ground, ink = page.script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('canvas')).filter]"
    )
    assert (ground != "rgb(255, 255, 255)") == ("invert" in ink) == dark


NARROW = 390
BROKEN = """
const broken = [], range = document.createRange();
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walk.nextNode()); ) {
  if (!node.parentElement.checkVisibility() || node.parentElement.closest("svg, script, style, option")) continue;
  for (const {0: word, index} of node.data.matchAll(/\\p{L}+/gu)) {
    range.setStart(node, index), range.setEnd(node, index + word.length);
    if (new Set([...range.getClientRects()].map(({top}) => Math.round(top))).size > 1) broken.push(word);
  }
}
return broken"""


def test_no_word_is_broken_on_a_phone(opened):
    """Nor does the name of a curve lie on one."""
    page = opened(config(["adagrad", "adam", "lookahead"], "ravine"))
    page.resize(NARROW)
    page.script(FRAMES)
    assert page.script(BROKEN) == []
    frame, *names = page.script(
        "return ['.frame', '.end'].flatMap((kind) => [...document.querySelectorAll(`#losses ${kind}`)])"
        ".map((e) => e.getBoundingClientRect()).map(({left, right}) => [left, right])"
    )
    assert names
    assert all(frame[1] <= left and right <= NARROW for left, right in names)


def test_large_page_grows_type_and_picture(opened):
    page = opened(config(["sgd", "adam"], "ravine"), width=1280)
    measure = (
        "const {width, height} = document.querySelector('#ground .frame').getBoundingClientRect();"
        "return [width * height, parseFloat(getComputedStyle(document.querySelector('.end')).fontSize)]"
    )
    area, size = page.script(measure)
    page.script("document.querySelector('#large').click()")
    page.script(FRAMES)
    larger, type_size = page.script(measure)
    assert type_size == pytest.approx(1.5 * size)
    assert larger > 1.2 * area
    assert page.overflow() == 0


def test_dark_page_is_dark_for_all(optilab, tmp_path, page):
    optilab("play", "sgd", "--dark", "--size", "slide", "--out", "play.html")
    page.open(tmp_path / "play.html")
    ground, ink, large = page.script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('canvas')).filter, document.querySelector('#large').checked]"
    )
    assert ground == "rgb(21, 24, 28)"
    assert "invert" in ink
    assert large


def test_printed_page_has_its_pictures(opened):
    """On paper the page has another width, and no script draws it again."""
    page = opened(config(["sgd"]))
    page.script("document.querySelector('main').style.width = '500px'")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    frame, canvas, start = page.script(
        "return ['#ground .frame', 'canvas', '#start'].map((name) => document.querySelector(name))"
        ".map((e) => e.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom])"
    )
    assert canvas == pytest.approx(frame, abs=1.5)
    assert frame[2] - frame[0] < 400
    share = page.script("return parseFloat(document.querySelector('#start').style.left)") / 100
    assert (start[0] + start[2]) / 2 == pytest.approx(frame[0] + share * (frame[2] - frame[0]), abs=1.5)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


# --- the command -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["rosenbrock", pytest.param("x^4 - x^2", marks=pytest.mark.nightly)])
def test_page_opens_on_settings_that_work(function, optilab, page, tmp_path):
    done = optilab("play", "--algo", "sgd,momentum,adam", "--function", function, "--out", "play.html")
    note = "at these settings sgd, momentum diverge; the page opens with another lr"
    assert (note in " ".join(done.stderr.split())) == (function == "rosenbrock")
    page.open(tmp_path / "play.html")
    assert "diverged" not in page.script(STATUSES)
    optilab("play", "--algo", "sgd", "--function", function, "--lr", "1", "--out", "play.html")
    page.open(tmp_path / "play.html")
    assert page.script("return state.rules[0].values.lr") == 1  # what was typed stays


def test_command_writes_a_page(optilab, tmp_path):
    line = ("play", "--algo", "sgd,adam", "--function", "rosenbrock", "--lr", "0.4", "--out", "a.html")
    shown = optilab(*line)
    assert (tmp_path / "a.html").as_uri() in shown.stdout
    assert "at these settings sgd diverges" in " ".join(shown.stderr.split())
    first = (tmp_path / "a.html").read_bytes()
    optilab(*line)
    assert (tmp_path / "a.html").read_bytes() == first
    document = json.loads(optilab("play", "--algo", "sgd", "--tune", "5", "--json").stdout)
    assert (document["file"], document["bytes"]) == ("play.html", (tmp_path / "play.html").stat().st_size)
    assert not (tmp_path / "runs").exists()
