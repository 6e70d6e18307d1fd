"""The published exercise, to every digit that it prints."""

import json
from pathlib import Path

import pytest

REFERENCE = json.loads((Path(__file__).parents[1] / "oracles" / "notebook.json").read_text())["optimize"]
CASES = REFERENCE["cases"]


def agrees(value: float, printed: float) -> bool:
    """`value` rounds to what was printed: NumPy shows 9 digits, or 8 decimals next to larger numbers."""
    digits = f"{printed!r}"
    if "e" in digits or abs(printed) < 1e-3:
        return f"{value:.8e}" == f"{printed:.8e}" or round(value, 8) == printed
    decimals = len(digits.partition(".")[2])
    return abs(value - printed) <= 0.5000001 * 10**-decimals or f"{value:.8e}" == f"{printed:.8e}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"question {case['question']}")
def test_every_printed_point_is_met(case, optilab):
    parameters = dict(case["params"])
    if "betas" in parameters:
        parameters["beta1"], parameters["beta2"] = parameters.pop("betas")
    sets = [text for key, value in parameters.items() for text in ("--set", f"algo.{key}={value!r}")]
    done = optilab("optimize", "--algo", case["algo"], "--epochs", case["epochs"], *sets, "--json")
    result = json.loads(done.stdout)["results"][0]
    points = result["points"]
    assert len(points) == case["epochs"] + 1
    assert points[0] == REFERENCE["base"]["start"]
    assert all(agrees(a, b) for a, b in zip(points[-1], case["final"], strict=True)), points[-1]
    met = 0
    for point in points:  # the printed ones are a part of the path, in order
        met += met < len(case["printed"]) and all(map(agrees, point, case["printed"][met]))
    assert met == len(case["printed"]), f"first missing: {case['printed'][met]}"


@pytest.mark.parametrize("algo", ["sgd", "momentum", "rmsprop", "adam"])
def test_the_name_alone_is_the_notebook(algo, optilab):
    case = next(case for case in CASES if case["algo"] == algo and case["epochs"] == 30)
    result = json.loads(optilab("optimize", "--algo", algo, "--epochs", "30", "--json").stdout)["results"][0]
    assert all(agrees(a, b) for a, b in zip(result["points"][-1], case["final"], strict=True))


def test_a_digit_more_or_less_is_noticed():
    """A check that cannot fail is none."""
    assert agrees(-0.1138643249, -0.11386432)
    assert not agrees(-0.11386433, -0.11386432)
    assert not agrees(-4.4214794e-07, -4.42147839e-07)
    assert agrees(-4.4214783944146867e-07, -4.42147839e-07)
