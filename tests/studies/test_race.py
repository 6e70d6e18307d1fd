"""A race: the same conditions for all, the same bytes again, and statistics against other ways to compute them."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import stats

from optilab.errors import UsageError
from optilab.optimize import ALGORITHMS, FUNCTIONS, descend
from optilab.studies import race as study
from optilab.studies import search_space
from optilab.studies.race import Heat, Race, Rules, expected_best, heat, profile, ranks, run, standings

RULES = Rules(budget=7, starts=5, steps=60)
ALGOS = {name: ALGORITHMS[name]() for name in ("sgd", "momentum", "adam")}
WHERE = {name: FUNCTIONS[name]() for name in ("ravine", "rosenbrock")}


def test_the_same_race_gives_the_same_numbers_and_another_seed_gives_others():
    assert run(ALGOS, WHERE, RULES, None) == run(ALGOS, WHERE, RULES, None)
    other = Rules(budget=7, starts=5, steps=60, seed=1)
    assert run(ALGOS, WHERE, RULES, None).heats != run(ALGOS, WHERE, other, None).heats


def test_the_company_changes_nothing():
    """Starts depend on the function and settings on the rule, so a heat does not know who else takes part."""
    alone = run({"adam": ALGOS["adam"]}, {"rosenbrock": WHERE["rosenbrock"]}, RULES, None).heats[0]
    assert alone in run(ALGOS, WHERE, RULES, None).heats


def test_an_interrupted_race_goes_on(tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(done, total):
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        run(ALGOS, WHERE, RULES, tmp_path, stop)
    assert len(list(tmp_path.iterdir())) == 4
    ran = []
    monkeypatch.setattr(study, "heat", lambda *given: ran.append(given) or heat(*given))
    assert run(ALGOS, WHERE, RULES, tmp_path) == run(ALGOS, WHERE, RULES, None)
    assert len(ran) == 2 + 6  # the two that were missing, then the six of the race without a cache


def test_a_damaged_heat_is_run_again(tmp_path):
    found = run(ALGOS, WHERE, RULES, tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:40])
    assert run(ALGOS, WHERE, RULES, tmp_path) == found


def test_other_rules_have_other_addresses(tmp_path):
    run(ALGOS, WHERE, RULES, tmp_path)
    run(ALGOS, WHERE, Rules(budget=7, starts=5, steps=61), tmp_path)
    assert len(list(tmp_path.iterdir())) == 12


def test_a_cost_is_the_step_at_which_descend_gets_there():
    found = heat("momentum", ALGOS["momentum"], "rosenbrock", WHERE["rosenbrock"], RULES)
    function = WHERE["rosenbrock"]
    low, high = np.array(function.box).T
    starts = study._generator(0, "rosenbrock").uniform(low, high, (2, 5, 1, 2))[1, :, 0]
    for start, cost in zip(starts, found.costs, strict=True):
        path = descend(ALGORITHMS["momentum"](**found.settings), function, start, steps=60)
        below = np.flatnonzero(path.values < 1e-3 * path.values[0])
        assert cost == (below[0] if below.size else -1)


def test_a_function_without_a_minimum_cannot_be_raced_on():
    with pytest.raises(UsageError, match="saddle has no known minimum"):
        run(ALGOS, {"saddle": FUNCTIONS["saddle"]()}, RULES, None)


def test_every_rule_can_be_tuned_within_its_own_limits():
    """The space stays inside what the schema of a rule accepts."""
    from optilab.config.schema.fields import schema_of

    for name, kind in ALGORITHMS.items():
        drawn = search_space.draw(kind(), 200, np.random.default_rng(0))
        for field, values in drawn.items():
            for value in (values.min(), values.max()):
                schema_of(kind).model_validate({field: float(value)})
        assert drawn or name in {"conjugate-gradient", "l-bfgs", "lookahead"}


def test_the_expected_best_is_the_mean_over_all_choices():
    scores = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    for k in range(1, 7):
        choices = [min(choice) for choice in itertools.combinations(scores, k)]
        assert expected_best(scores)[k - 1] == pytest.approx(np.mean(choices))


def test_ranks_are_those_of_scipy():
    costs = np.random.default_rng(3).choice([1.0, 2.0, 5.0, 9.0, np.inf], (6, 40))
    np.testing.assert_array_equal(ranks(costs), stats.rankdata(costs, axis=0))


def test_a_performance_profile_by_hand():
    costs = np.array([[10, 20, np.inf, np.inf], [20, 20, 5, np.inf]])
    shares = profile(costs, np.array([1.0, 1.9, 2.0, 100.0]))
    np.testing.assert_array_equal(shares, [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75]])


def made(costs):
    """A race of two rules whose costs, (2, functions, starts), are given."""
    heats = [
        Heat(algo, f"f{i}", {}, [1.0], list(row))
        for algo, table in zip("ab", costs, strict=True)
        for i, row in enumerate(table)
    ]
    functions = [f"f{i}" for i in range(len(costs[0]))]
    return Race(Rules(budget=1, starts=len(costs[0][0])), ["a", "b"], functions, heats)


def test_a_clear_winner_and_a_draw():
    generator = np.random.default_rng(0)
    faster, slower = generator.integers(5, 20, (2, 8, 10))
    first, second = standings(made([slower + 30, faster]))
    assert (first.algo, first.against_first, first.rank) == ("b", "first", 1.0)
    assert (second.algo, second.against_first) == ("a", "slower")
    draw = standings(made([slower, faster]))
    assert draw[1].against_first == "cannot tell"


def test_the_intervals_agree_with_scipys_bootstrap():
    """With one start per function the two-level bootstrap is the ordinary one."""
    costs = np.random.default_rng(5).integers(5, 60, (2, 30, 1))
    found = {standing.algo: standing for standing in standings(made(costs))}
    rank = stats.rankdata(costs[:, :, 0], axis=0)[0]
    oracle = stats.bootstrap((rank,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    np.testing.assert_allclose(found["a"].rank_interval, oracle, atol=0.04)


def test_the_command(optilab, tmp_path):
    arguments = ["race", "--algos", "sgd,adam", "--functions", "ravine,booth", "--budget", "5", "--starts", "4"]
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    first = optilab(*arguments, "--json", **environment)
    assert optilab(*arguments, "--json", **environment).stdout == first.stdout
    document = json.loads(first.stdout)
    assert {standing["algo"] for standing in document["standings"]} == {"sgd", "adam"}
    assert len(list((tmp_path / "optilab" / "races").iterdir())) == 4
    table = optilab(*arguments, "--plot", "race.png", **environment)
    assert "rank" in table.stdout
    assert (tmp_path / "race.png").read_bytes().startswith(b"\x89PNG")
    wrong = optilab("race", "--algos", "sgd,adamm", code=2)
    assert 'did you mean "adam"?' in wrong.stderr


def test_ctrl_c_says_how_to_go_on(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    arguments = ["--algos", "adam,sgd", "--functions", "rosenbrock,beale", "--epochs", "20000"]
    race = subprocess.Popen(
        [sys.executable, "-m", "optilab", "race", *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )
    heats, limit = tmp_path / "optilab" / "races", time.monotonic() + 60
    while not heats.is_dir() and time.monotonic() < limit:  # the first heat is kept: the race is on
        time.sleep(0.05)
    race.send_signal(signal.SIGINT)
    _, said = race.communicate(timeout=30)
    assert race.returncode == -signal.SIGINT
    assert "optilab: stopped; the same command goes on where it was" in said
