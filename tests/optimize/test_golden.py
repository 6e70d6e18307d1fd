"""Numbers from the test suites of other projects, through the step API, in their precision and with their settings.

Every vector names its project, file and version. Only numbers are taken; they are compared as sharply as they are
printed. Where a rule has forms, the settings say which one that project has.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optilab.optimize import RULES
from optilab.optimize.schedules import Cosine, WarmUp


@dataclass(frozen=True)
class Golden:
    """Points after some steps (counted from 1) of a rule from `start`, as another project's tests have them.

    `gradient` is one of: an array for every step, a sequence of arrays, a function of the point. Weight decay is
    what a caller of the step API does: coupled on the gradient, decoupled beside the step.
    """

    rule: Any
    start: Any
    gradient: Any
    points: dict[int, Any]
    atol: float
    coupled: float = 0.0
    decoupled: float = 0.0
    schedule: Callable[[int], float] = field(default=lambda t: 1.0)  # factor of lr at step t, from 0


def rule(name: str, **settings: Any) -> Any:
    return RULES[name](**settings)


def follow(golden: Golden, dtype: Any) -> dict[int, Any]:
    x = np.asarray(golden.start, dtype=dtype)
    state, points = golden.rule.init(x), {}
    for t in range(max(golden.points)):
        given = golden.gradient
        g = given(x) if callable(given) else given[t] if isinstance(given, list) else given
        now = (
            replace(golden.rule, lr=golden.rule.lr * golden.schedule(t))
            if golden.schedule(t) != 1
            else golden.rule
        )
        step, state = now.update(np.asarray(g, dtype=dtype) + golden.coupled * x, state)
        if golden.decoupled:
            step = step - now.lr * golden.decoupled * x
        x = x + step
        assert x.dtype == dtype
        assert x.shape == np.shape(golden.start)
        points[t + 1] = x
    return points


# --- Keras 3: keras/src/optimizers/*_test.py (keras-team/keras 3.0 to 3.15) ---------------------------------------

TENTHS = np.arange(0.1, 1.05, 0.1)
KERAS = {"eps": 1e-7}
ADAM = KERAS | {"eps_placement": "uncorrected"}


def keras_golden(rule: Any, *rows: Any, atol: float = 5.1e-5) -> Golden:
    """test_correctness_with_golden: ten ones, a gradient of 0.01 first, then 0.1, 0.2, ..., 1; four digits."""
    gradients = [np.full(10, 0.01), *[TENTHS] * (len(rows) - 1)]
    return Golden(rule, np.ones(10), gradients, dict(enumerate(rows, 1)), atol)


def keras_step(rule: Any, *points: float) -> Golden:
    """test_single_step: (1, 2, 3, 4) with the gradient (1, 6, 7, 2); four digits."""
    return Golden(rule, [1.0, 2.0, 3.0, 4.0], [np.array([1.0, 6.0, 7.0, 2.0])], {1: points}, 5.1e-5)


GOLDEN = {
    "keras SGD": keras_golden(
        rule("sgd", lr=0.01), *(0.9999 - 0.01 * t * TENTHS for t in range(5))
    ),  # SGD(nesterov=True), whose momentum is 0
    "keras Adagrad": keras_golden(
        rule("adagrad", lr=0.2, initial_accumulator=0.3, eps=1e-6, eps_placement="inside"),
        np.full(10, 0.9963),
        [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
        [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.704, 0.6956, 0.6891],
        [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.579],
        [0.856, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.491, 0.4825],
    ),
    "keras Adadelta": keras_golden(
        rule("adadelta", lr=1.0, rho=0.8, eps=1e-6),
        *(np.full(10, x) for x in (0.9978, 0.9947, 0.9915, 0.9882, 0.9849)),
    ),
    "keras RMSprop centered": keras_golden(
        rule("rmsprop", centered=True, **KERAS),
        *(np.full(10, x) for x in (0.9967, 0.9933, 0.9908, 0.9885, 0.9864)),
    ),
    "keras Adam amsgrad": keras_golden(
        rule("amsgrad", **ADAM), *(np.full(10, x) for x in (0.999, 0.9982, 0.9974, 0.9965, 0.9955)), atol=2e-4
    ),  # one number for ten coordinates, which differ in the fourth digit
    "keras AdamW": keras_golden(
        rule("adamw", lr=1.0, weight_decay=0.5, eps=2.0, eps_placement="uncorrected"),
        np.full(10, 0.4998),
        [0.2486, 0.2475, 0.2463, 0.2451, 0.244, 0.2428, 0.2417, 0.2405, 0.2394, 0.2382],
        [0.1223, 0.1198, 0.1174, 0.1149, 0.1124, 0.11, 0.1075, 0.1051, 0.1027, 0.1003],
        [0.0586, 0.0549, 0.0512, 0.0475, 0.0439, 0.0402, 0.0366, 0.033, 0.0294, 0.0258],
        [0.0263, 0.0215, 0.0167, 0.012, 0.0073, 0.0026, -0.0021, -0.0067, -0.0113, -0.0159],
    ),
    "keras Adamax": keras_golden(
        rule("adamax", lr=0.2, beta1=0.85, beta2=0.95, eps=1e-6, eps_placement="outside"),
        np.full(10, 0.8),
        [0.6827, 0.6873, 0.6888, 0.6896, 0.6901, 0.6904, 0.6906, 0.6908, 0.6909, 0.691],
        [0.5333, 0.5407, 0.5431, 0.5444, 0.5451, 0.5456, 0.546, 0.5462, 0.5464, 0.5466],
        [0.368, 0.3773, 0.3804, 0.382, 0.3829, 0.3835, 0.384, 0.3843, 0.3846, 0.3848],
        [0.1933, 0.204, 0.2076, 0.2094, 0.2105, 0.2112, 0.2117, 0.2121, 0.2124, 0.2126],
    ),
    "keras Nadam": keras_golden(
        rule("nadam", lr=0.5, beta1=0.5, beta2=0.67, eps=1e-5, momentum_decay=1.0),
        np.full(10, 0.4281),
        [-0.1738, -0.1731, -0.1726, -0.1723, -0.1721, -0.172, -0.1719, -0.1718, -0.1718, -0.1717],
        [-0.7115, -0.7103, -0.7096, -0.7092, -0.709, -0.7088, -0.7086, -0.7085, -0.7085, -0.7084],
        [-1.2335, -1.2322, -1.2313, -1.2309, -1.2306, -1.2304, -1.2302, -1.2301, -1.23, -1.2299],
        [-1.7492, -1.7478, -1.7469, -1.7464, -1.7461, -1.7459, -1.7457, -1.7456, -1.7455, -1.7454],
    ),
    "keras Lion": keras_golden(
        rule("lion", lr=0.001), *(np.full(10, x) for x in (0.999, 0.998, 0.997, 0.996, 0.995))
    ),
    "keras SGD, one step": keras_step(rule("sgd", lr=0.5), 0.5, -1.0, -0.5, 3.0),
    "keras Adagrad, one step": keras_step(
        rule("adagrad", lr=0.5, initial_accumulator=0.1, eps_placement="inside", **KERAS),
        *(0.5233, 1.5007, 2.5005, 3.5061),
    ),
    "keras Adadelta, one step": keras_step(
        rule("adadelta", lr=0.5, rho=0.95, **KERAS), 0.9993, 1.9993, 2.9993, 3.9993
    ),
    "keras RMSprop, one step": keras_step(rule("rmsprop", lr=0.5, **KERAS), -0.5811, 0.4189, 1.4189, 2.4189),
    "keras Adam, one step": keras_step(rule("adam", lr=0.5, **ADAM), 0.5, 1.5, 2.5, 3.5),
    "keras AdamW, one step": keras_step(
        rule("adamw", lr=0.5, weight_decay=0.004, **ADAM), 0.4980, 1.4960, 2.494, 3.492
    ),
    "keras Adamax, one step": keras_step(
        rule("adamax", lr=0.5, eps_placement="outside", **KERAS), 0.5, 1.5, 2.5, 3.5
    ),
    "keras Nadam, one step": keras_step(
        rule("nadam", lr=0.5, momentum_decay=1.0, **KERAS), 0.4686, 1.4686, 2.4686, 3.4686
    ),
    "keras Ftrl, one step": keras_step(
        rule("ftrl", lr=0.5, initial_accumulator=0.1), *(0.2218, 1.3954, 2.3651, 2.8814)
    ),
    "keras Lion, one step": keras_step(rule("lion", lr=0.5), 0.5, 1.5, 2.5, 3.5),
}

# test_weight_decay of the same files: a single number, no gradient, decay 0.004 with lr 1; seven digits
GOLDEN |= {
    f"keras weight decay of {name}": Golden(
        rule(name, lr=1.0, **settings), 2.0, 0.0, {3: 1.9760959}, 1e-7, decoupled=0.004
    )
    for name, settings in {
        "sgd": {},
        "adagrad": {"initial_accumulator": 0.1, "eps_placement": "inside"},
        "adadelta": {"rho": 0.95},
        "rmsprop": {},
        "adam": ADAM,
        "adamax": {"eps_placement": "outside"},
        "nadam": {"momentum_decay": 1.0},
        "lion": {},
    }.items()
}
GOLDEN |= {
    f"keras weight decay within {name}": Golden(
        rule(name, lr=1.0, weight_decay=0.004), 2.0, 0.0, {3: 1.9760959}, 1e-7
    )
    for name in ("adamw", "lion")
}

# --- TensorFlow 1: tensorflow/python/training/{momentum,adagrad,rmsprop,ftrl}_test.py (tensorflow/tensorflow 1.x)

DIST_BELIEF = """
0.00096264342 0.17914793 0.93945462 0.41396621 0.53037018 0.93197989 0.78648776 0.50036013 0.55345792 0.96722615
0.17075552 0.88821375 0.20873757 0.25236958 0.57578111 0.15312378 0.5513742 0.94687688 0.16012503 0.22159521
0.35077485 0.47304362 0.44412705 0.44368884 0.078527533 0.81223965 0.31168157 0.43203235 0.16792089 0.24644311
0.9694621 0.75035888 0.28171822 0.83813518 0.53807181 0.3728098 0.81454384 0.03848977 0.89759839 0.93665648
0.38578293 0.8536852 0.88722926 0.66276771 0.13678469 0.94036359 0.69107032 0.81897682 0.5433259 0.67860287
0.27885768 0.76100707 0.24625534 0.81354135 0.18959245 0.48038563 0.84163809 0.41172323 0.83259648 0.44941229
0.27233034 0.056316052 0.5039115 0.24105175 0.35697976 0.75913221 0.73577434 0.16014607 0.57500273 0.071136251
0.58697265 0.2494842 0.08106143 0.39954534 0.15892942 0.12683646 0.74053431 0.16033 0.66625422 0.73515922
0.8215279 0.41994119 0.95172721 0.68000203 0.79439718 0.43384039 0.55561525 0.22567581 0.93331909 0.29438227
0.68297005 0.67758518 0.1748755 0.13266537 0.70697063 0.055731893 0.68593478 0.50580865 0.12602448 0.093537711
"""
DIST_BELIEF_GRADIENTS = list(np.array(DIST_BELIEF.split(), dtype=float).reshape(10, 10))
DIST_BELIEF_POINTS = {
    1: [
        *(-9.6264346e-05, -0.017914793, -0.093945466, -0.041396622, -0.053037018),
        *(-0.093197994, -0.078648776, -0.050036013, -0.055345792, -0.096722618),
    ],
    5: [
        *(-0.20323303, -0.33900154, -0.29658359, -0.28175515, -0.20448165),
        *(-0.34576839, -0.34194785, -0.29488021, -0.25099224, -0.33033544),
    ],
    10: [
        *(-0.49369633, -0.58184016, -0.52132869, -0.5396927, -0.44306302),
        *(-0.56181377, -0.73774242, -0.46082234, -0.60366184, -0.52012295),
    ],
}
TENTH, HUNDREDTH = np.full(2, 0.1), np.full(2, 0.01)
RMS0 = np.array([0.901, 0.901 * 0.9 + 0.001])  # the mean of squares starts at 1

GOLDEN |= {
    "tensorflow Momentum, DistBelief": Golden(
        rule("momentum", lr=0.1, beta=0.1), np.zeros(10), DIST_BELIEF_GRADIENTS, DIST_BELIEF_POINTS, 3e-7
    ),
    "tensorflow Adagrad": Golden(
        rule("adagrad", lr=3.0, initial_accumulator=0.1, eps=0.0),
        *([1.0, 2.0], TENTH, {3: [-1.6026098728179932, -0.6026098728179932]}, 5e-7),
    ),
    "tensorflow Adagrad, small gradient": Golden(
        rule("adagrad", lr=3.0, initial_accumulator=0.1, eps=0.0),
        *([3.0, 4.0], HUNDREDTH, {3: [2.715679168701172, 3.715679168701172]}, 5e-7),
    ),
    "tensorflow Adagrad, stability": Golden(
        rule("adagrad", lr=1.0, initial_accumulator=0.1, eps=0.0),
        [[0.00872496, -0.106952, 0.110467, 0.226505, -0.0147257, -0.0105945]],
        [np.array([[-5.91278e-05, 5.31673e-05, -2.5779e-06, 4.29153e-05, -8.4877e-05, -9.48906e-05]])],
        {1: [[0.00891194, -0.10712013, 0.11047515, 0.22636929, -0.0144573, -0.01029443]]},
        3e-8,
    ),
    "tensorflow RMSProp": Golden(
        rule("rmsprop", lr=2.0, decay=0.9, eps=1.0, initial_accumulator=1.0),
        *([1.0, 2.0], TENTH, {2: np.array([1.0, 2.0]) - (0.2 / np.sqrt(RMS0 + 1.0)).sum()}, 3e-7),
    ),
    "tensorflow RMSProp with momentum": Golden(
        rule("rmsprop", lr=2.0, decay=0.9, eps=1e-5, momentum=0.5, initial_accumulator=1.0),
        *([1.0, 2.0], TENTH, {2: np.array([1.0, 2.0]) - (0.2 / np.sqrt(RMS0 + 1e-5) * [1.5, 1.0]).sum()}, 3e-7),
    ),
}

FTRL = {  # settings, with the l2 of TensorFlow; steps; the points from (1, 2, 4, 3)
    "": ({}, 3, [-2.55607247, -3.98729396, -0.28232238, -0.56096673]),
    " with l1": ({"l1": 0.001}, 10, [-7.66718769, -10.91273689, -0.93460727, -1.86147261]),
    " with beta": ({"beta": 0.1}, 10, [-6.096838, -9.162214, -0.717741, -1.425132]),
    " with l2 and beta": ({"beta": 0.1, "l2": 0.1}, 10, [-2.735487, -4.704625, -0.294335, -0.586556]),
    " with l1 and l2": ({"l1": 0.001, "l2": 2.0}, 10, [-0.24059935, -0.46829352, -0.02406147, -0.04830509]),
}
GOLDEN |= {
    f"tensorflow Ftrl{what}": Golden(
        rule("ftrl", lr=3.0, initial_accumulator=0.1, **{**settings, "l2": 2 * settings.get("l2", 0.0)}),
        *([1.0, 2.0, 4.0, 3.0], np.array([0.1, 0.2, 0.01, 0.02]), {steps: points}, 3e-6),
    )
    for what, (settings, steps, points) in FTRL.items()
}

# --- TensorFlow Addons: tensorflow_addons/optimizers/tests/{rectified_adam,adabelief}_test.py (tensorflow/addons) ---

STARTS, SLOPES = [[1.0, 2.0], [3.0, 4.0]], np.array([[0.1, 0.2], [0.03, 0.04]])
RADAM = {"lr": 1e-3, "eps": 1e-7, "eps_placement": "outside"}

GOLDEN |= {
    "addons RectifiedAdam": Golden(
        rule("radam", **RADAM), STARTS, SLOPES, {100: [[0.985769, 1.985269], [2.986119, 3.986068]]}, 2e-5
    ),
    "addons RectifiedAdam, decay": Golden(
        rule("radam", **RADAM),
        *(STARTS, SLOPES, {100: [[0.984775, 1.983276], [2.983125, 3.982076]]}, 2e-5),
        decoupled=0.01,
    ),
    "addons Ranger": Golden(
        rule("lookahead", base=rule("radam", beta1=0.95, **RADAM), sync_period=6, slow_step_size=0.45),
        *(STARTS, SLOPES, {100: [[0.993126, 1.992901], [2.993283, 3.993261]]}, 2e-5),
    ),
    "addons AdaBelief": Golden(
        rule("adabelief", lr=1e-3, eps=1e-14),
        *(STARTS, SLOPES, {100: [[0.66723955, 1.6672393], [2.6672382, 3.6672382]]}, 2e-4),
    ),
    "addons AdaBelief, decay": Golden(
        rule("adabelief", lr=1e-3, eps=1e-14),
        *(STARTS, SLOPES, {100: [[0.66637343, 1.6653734], [2.6643748, 3.6633751]]}, 2e-4),
        decoupled=0.01,
    ),
}

# --- Lasagne: lasagne/tests/test_updates.py (Lasagne/Lasagne 0.2), ten steps on 0.1*x1^2 + 0.2*x2^2 + 0.3*x3^2 -----


def lasagne(rule: Any, *points: float) -> Golden:
    """The numbers are those of Lua torch's optim; np.allclose is its tolerance."""
    return Golden(rule, np.ones(3), lambda x: np.array([0.2, 0.4, 0.6]) * x, {10: points}, 1e-5)


GOLDEN |= {
    "lasagne sgd": lasagne(rule("sgd", lr=0.1), 0.81707280688755, 0.6648326359915, 0.5386151140949),
    "lasagne momentum": lasagne(
        rule("momentum", lr=0.1, beta=0.5), 0.6848486952183, 0.44803321781003, 0.27431190123502
    ),
    "lasagne nesterov": lasagne(
        rule("nesterov", lr=0.1, beta=0.5), 0.67466543592725, 0.44108468114241, 0.2769002108997
    ),
    "lasagne adagrad": lasagne(rule("adagrad", lr=0.1), 0.55373120047759, 0.55373120041518, 0.55373120039438),
    "lasagne rmsprop": lasagne(
        rule("rmsprop", lr=0.01, eps=1e-6, eps_placement="outside"),
        *(0.83205403985348, 0.83205322744821, 0.83205295664444),
    ),
    "lasagne adadelta": lasagne(
        rule("adadelta", rho=0.95, eps=1e-6), 0.95453237704725, 0.9545237471374, 0.95452214847397
    ),
    "lasagne adam": lasagne(
        rule("adam", lr=0.01, eps_placement="uncorrected"), 0.90034972009036, 0.90034967993061, 0.90034966654402
    ),
}

# --- Blocks: tests/algorithms/test_algorithms.py (mila-iqia/blocks 0.2), sums of steps along fixed gradients --------

GOLDEN |= {
    "blocks Momentum": Golden(
        rule("momentum", lr=0.1, beta=0.5), [3.0, 4.0], np.array([6.0, 8.0]), {3: [0.45, 0.6]}, 1e-6
    ),
    "blocks AdaDelta": Golden(
        rule("adadelta", rho=0.5, eps=1e-7),
        *(np.zeros(2), np.array([6.0, 8.0]), {3: np.full(2, -0.00044721 - 0.0005164 - 0.00056904)}, 2e-8),
    ),
    "blocks RMSProp": Golden(
        rule("rmsprop", lr=0.1, decay=0.5, eps=0.0),
        *(np.zeros(2), [np.array(g) for g in ([6.0, 8.0], [4.0, 6.0], [2.0, 3.0])]),
        {1: [-0.141421356] * 2, 2: [-0.238435606, -0.244320522], 3: [-0.300156946, -0.309020186]},
        1e-7,
    ),
}

# --- dfdx: src/optim/{adam,rmsprop,sgd}/mod.rs (coreylowman/dfdx 0.13); its Adam shows where eps is -----------------

RATES = np.array([0.1, 1.0, 2.0, 10.0, 100.0])
TINY = np.array([1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
FIVE = [-0.5, -0.25, 0.1, 0.6, 1.0]
LATE = {"lr": 1e-2, "decay": 0.9, "eps": 1e-8, "initial_accumulator": 1.0}


def dfdx_rmsprop(settings: dict[str, Any], points: dict[int, Any], **decay: float) -> Golden:
    return Golden(rule("rmsprop", **settings), np.ones(5), lambda x: 2 * RATES**2 * x, points, 3e-6, **decay)


GOLDEN |= {
    "dfdx Adam": Golden(
        rule("adam"),
        *(np.ones(5), lambda x: 2 * TINY**2 * x / 5),
        {
            1: [0.99999994, 0.999996, 0.9997143, 0.9990244, 0.99900025],
            10: [0.9999994, 0.99996006, 0.99714446, 0.99024755, 0.99000573],
        },
        6e-7,
    ),
    "dfdx Adam, L2": Golden(
        rule("adam", beta1=0.5, beta2=0.25),
        *(FIVE, lambda x: 2 * np.exp(2 * x) / 5),
        {10: [-0.48998323, -0.24548599, 0.08998477, 0.58999157, 0.9899922]},
        *(1e-5, 1.0),
    ),
    "dfdx Adam, decoupled": Golden(
        rule("adamw", beta1=0.5, beta2=0.25, weight_decay=1.0),
        *(FIVE, lambda x: 2 * np.exp(2 * x) / 5),
        {10: [-0.50498205, -0.25747302, 0.08903958, 0.58405757, 0.9800719]},
        1e-6,
    ),
    "dfdx RMSprop": dfdx_rmsprop(
        LATE,
        {
            1: [0.9997892, 0.98245883, 0.9703907, 0.9683808, 0.96837723],
            5: [0.9988262, 0.9256831, 0.8990271, 0.8955128, 0.8955067],
        },
    ),
    "dfdx RMSprop, momentum": dfdx_rmsprop(
        LATE | {"momentum": 0.9}, {5: [0.9970101, 0.798177, 0.71185935, 0.69974965, 0.6997286]}
    ),
    "dfdx RMSprop, eps": dfdx_rmsprop(
        LATE | {"eps": 1e-2}, {5: [0.9988343, 0.9259014, 0.89906746, 0.8955129, 0.8955067]}
    ),
    "dfdx RMSprop, centered": dfdx_rmsprop(
        LATE | {"centered": True}, {5: [0.9988262, 0.9190646, 0.8847198, 0.87998855, 0.8799804]}
    ),
    "dfdx RMSprop, L2": dfdx_rmsprop(
        LATE, {5: [0.97128564, 0.9186157, 0.89865, 0.89551276, 0.8955067]}, coupled=0.5
    ),
    "dfdx RMSprop, decoupled": dfdx_rmsprop(
        LATE, {5: [0.9740982, 0.90218556, 0.8758817, 0.8724158, 0.87240976]}, decoupled=0.5
    ),
    "dfdx Sgd, Nesterov": Golden(
        rule("nesterov", lr=1e-2, beta=0.5),
        *(np.ones(5), RATES / 5, {5: [0.9981938, 0.98193747, 0.963875, 0.819375, -0.8062499]}, 5e-7),
    ),
    "dfdx Sgd, momentum, decoupled": Golden(
        rule("momentum", lr=1e-2, beta=0.5),
        *(np.ones(5), RATES / 5, {5: [0.9934003, 0.978913, 0.962815, 0.834037, -0.614717]}, 6e-7),
        decoupled=0.1,
    ),
    "dfdx Sgd, momentum, L2": Golden(
        rule("momentum", lr=1e-2, beta=0.5),
        *(np.ones(5), RATES / 5, {5: [0.99034745, 0.9758687, 0.9597812, 0.83108085, -0.6167973]}, 6e-7),
        coupled=0.1,
    ),
}

# --- TensorFlow.js: tfjs-core/src/optimizers/*_test.ts (tensorflow/tfjs 1 to 4), on the sum of squares;
# the points of Adam and Adamax are by hand there, to three digits ----------------------------------------------------


def double(x: Any) -> Any:
    return 2 * x


GOLDEN |= {
    "tfjs momentum": Golden(
        rule("momentum", lr=0.1, beta=0.5), [1.0, 2.0], double, {1: [0.8, 1.6], 2: [0.54, 1.08]}, 1e-6
    ),
    "tfjs Nesterov": Golden(
        rule("nesterov", lr=0.1, beta=0.5), [1.0, 2.0], double, {1: [0.7, 1.4], 2: [0.44, 0.88]}, 1e-6
    ),
    "tfjs Adagrad": Golden(
        rule("adagrad", lr=0.1, initial_accumulator=0.1, eps=1e-7, eps_placement="inside"),
        *([1.0, 2.0], double, {1: [0.9012270405, 1.9003110428]}, 1e-6),
    ),
    "tfjs RMSProp": Golden(
        rule("rmsprop", lr=0.1, decay=0.95, momentum=0.1, eps=1e-7),
        *([1.0, 2.0], double, {1: [0.5527865, 1.5527864], 2: [0.2874418, 1.2294267]}, 1e-6),
    ),
    "tfjs RMSProp, centered": Golden(
        rule("rmsprop", lr=0.1, decay=0.95, momentum=0.1, eps=1e-7, centered=True),
        *([1.0, 2.0], double, {1: [0.5411684, 1.5411685], 2: [0.2677834, 1.2035918]}, 1e-6),
    ),
    "tfjs Adam": Golden(
        rule("adam", lr=0.1, beta1=0.8, beta2=0.9, **ADAM),
        *([2.0, 4.0], double, {1: [1.9, 3.9], 2: [1.8000001, 3.8002]}, 6e-4),
    ),
    "tfjs Adamax, decay of lr": Golden(
        rule("adamax", lr=0.1, beta1=0.8, beta2=0.9, eps=1e-7, eps_placement="outside"),
        *([2.0, 4.0], double, {1: [1.9, 3.9], 2: [1.80697, 3.8086]}, 6e-4),
        schedule=lambda t: 1 / (1 + 0.1 * t),
    ),
}

# --- Swift for TensorFlow: Tests/TensorFlowTests/OptimizerTests.swift (tensorflow/swift-apis 0.12) ------------------

GOLDEN["swift AdaGrad"] = Golden(
    rule("adagrad", lr=1e-3, initial_accumulator=0.1, eps=1e-7, eps_placement="inside"),
    *([0.0, 1.0, 2.0], np.array([0.0, 0.1, 0.2])),
    {1: [0.0, 0.99969846, 1.9994655], 11: [0.0, 0.9972076, 1.9959843]},
    3e-7,
)

# --- Burn: crates/burn-optim/src/optim/{adan,adagrad,lion}.rs (tracel-ai/burn 0.21); the first two are one column of a
# linear layer and one bias, whose gradients are the sums of the inputs and their number ------------------------------

COLUMN = [-0.3206, 0.0777, -0.0190, -0.2980, 0.3300, -0.0159, -0.3905]
INPUTS = [
    np.array([1.3446, 1.0499, 1.6069, 1.4508, 1.1167, 1.3193, 2.0]),
    np.array([1.1761, 0.2520, 1.4477, 1.4038, 0.8722, 1.1613, 2.0]),
]

GOLDEN |= {
    "burn Adan": Golden(
        rule("adan", lr=0.01, weight_decay=0.02),
        *(COLUMN, INPUTS),
        {2: [-0.34034607, 0.0644293, -0.038910445, -0.3178632, 0.31026322, -0.03577819, -0.4103378]},
        1e-7,
    ),
    "burn AdaGrad, decay of lr": Golden(
        rule("adagrad", lr=0.01, eps=1e-8, lr_decay=0.5),
        *(COLUMN, INPUTS),
        {2: [-0.334989, 0.066144, -0.033462, -0.312636, 0.315896, -0.030305, -0.405214]},
        1e-6,
    ),
    "burn Lion": Golden(
        rule("lion", lr=0.1, weight_decay=0.1),
        *([1.0, -2.0, 3.0], [np.array([0.5, -0.25, 0.0]), np.array([-0.1, 0.5, -2.0])]),
        {1: [0.89, -1.88, 2.97], 2: [0.9811, -1.9612, 3.0403]},
        1e-6,
    ),
}

# --- Optax: optax/_src/lookahead_test.py (0.2), and its numbers in test/polaris/updates_test.exs (elixir-nx/polaris
# 0.1): one step of every scaling, on an array of shape (1, 3) --------------------------------------------------------


def polaris(rule: Any, gradient: list[float], update: list[float], atol: float = 1e-6) -> Golden:
    return Golden(rule, np.zeros((1, 3)), np.array([gradient]), {1: -np.array([update])}, atol)


GOLDEN |= {
    "optax lookahead": Golden(
        rule("lookahead", base=rule("sgd", lr=0.5), sync_period=3, slow_step_size=1 / 3),
        *([3.0, -3.0], np.array([2.0, -2.0])),
        {1: [2, -2], 2: [1, -1], 3: [2, -2], 4: [1, -1], 5: [0, 0], 6: [1, -1]},
        1e-6,
    ),
    "optax lookahead of a number": Golden(
        rule("lookahead", base=rule("sgd", lr=1.0), sync_period=1, slow_step_size=0.5), 3.0, 2.0, {2: 1.0}, 1e-6
    ),
    "polaris scale_by_adam": polaris(
        rule("adam", lr=1.0), [0.29081831, 0.29872105, 0.48405271], [0.9999933] * 3, 1e-5
    ),
    "polaris scale_by_radam": polaris(
        rule("radam", lr=1.0), [0.03755132, 0.80392208, 0.87391938], [0.03755131, 0.8039219, 0.8739191]
    ),
    "polaris scale_by_rms": polaris(
        rule("rmsprop", lr=1.0), [0.39331236, 0.27389305, 0.30131908], [3.1622767, 3.1622758, 3.162276], 3e-6
    ),
    "polaris scale_by_rss": polaris(
        rule("adagrad", lr=1.0, initial_accumulator=0.1, eps=1e-7, eps_placement="inside"),
        *([0.13715272, 0.63276641, 0.5234425], [0.39790204, 0.894515, 0.855929]),
    ),
    "polaris scale_by_stddev": polaris(
        rule("rmsprop", lr=1.0, centered=True),
        [0.04849768, 0.04869076, 0.23020724],
        [3.3332546, 3.333255, 3.33333],
        4e-6,
    ),
    "polaris scale_by_yogi": polaris(
        rule("yogi", lr=1.0), [0.84200356, 0.76360484, 0.55381714], [0.9981149, 0.99784315, 0.9965868], 1e-5
    ),
}


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=list(GOLDEN))
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_golden(golden, dtype):
    points = follow(golden, dtype)
    for t, expected in golden.points.items():
        assert_allclose(points[t], expected, rtol=0, atol=golden.atol, err_msg=f"step {t}")


@pytest.mark.parametrize(
    ("schedule", "total", "factors"),
    [
        # test/polaris/schedules_test.exs (elixir-nx/polaris 0.1), numbers of optax
        (Cosine(final=0.5), 1000, {0: 1.0, 25: 0.9992293, 50: 0.99692205, 1000: 0.5, 100_000: 0.5}),
        (WarmUp(steps=5, start=0.0, then="cosine"), 15, {0: 0.0, 2: 0.4, 4: 0.8, 5: 1.0, 10: 0.5, 15: 0.0}),
        (WarmUp(steps=5, start=0.0, then="cosine", final=0.5), 15, {5: 1.0, 10: 0.75, 15: 0.5}),
        # optax/_src/schedule_test.py (0.2), WarmupCosineDecayTest
        (WarmUp(steps=100, start=1.0, then="cosine", final=2e-4), 1000, {0: 1.0, 100: 1.0, 1000: 2e-4}),
    ],
    ids=str,
)
def test_golden_schedules(schedule, total, factors):
    for t, factor in factors.items():
        assert schedule.factor(t, total) == pytest.approx(factor, rel=1e-6, abs=1e-12)
