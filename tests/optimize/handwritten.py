"""The test functions written by hand, in NumPy: what their executed formulas must give."""

from math import pi
from typing import Any

import numpy as np

from optilab.optimize.formula import power


def coordinates(x: Any) -> tuple[Any, Any]:
    return x[..., 0], x[..., 1]


def pair(d1: Any, d2: Any) -> Any:
    return np.stack([d1, d2], axis=-1)


def total(terms: Any) -> Any:
    return np.asarray(terms.sum(axis=-1))


class Ravine:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return 0.1 * w1**2 + 2 * w2**2

    @staticmethod
    def gradient(x: Any) -> Any:
        return pair(0.2 * x[..., 0], 4 * x[..., 1])


class Sphere:
    @staticmethod
    def value(x: Any) -> Any:
        return total(x**2)

    @staticmethod
    def gradient(x: Any) -> Any:
        return 2 * x


class Booth:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return (w1 + 2 * w2 - 7) ** 2 + (2 * w1 + w2 - 5) ** 2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        a, b = w1 + 2 * w2 - 7, 2 * w1 + w2 - 5
        return pair(2 * a + 4 * b, 4 * a + 2 * b)


class Matyas:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return 0.26 * (w1**2 + w2**2) - 0.48 * w1 * w2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(0.52 * w1 - 0.48 * w2, 0.52 * w2 - 0.48 * w1)


class AbsRavine:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return 0.1 * np.abs(w1) + 2 * np.abs(w2)

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(0.1 * np.sign(w1.real), 2 * np.sign(w2.real))


class Saddle:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return w1**2 - w2**2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(2 * w1, -2 * w2)


class Beale:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return (1.5 - w1 + w1 * w2) ** 2 + (2.25 - w1 + w1 * w2**2) ** 2 + (2.625 - w1 + w1 * power(w2, 3)) ** 2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        a, b, c = 1.5 - w1 + w1 * w2, 2.25 - w1 + w1 * w2**2, 2.625 - w1 + w1 * power(w2, 3)
        return pair(
            2 * (a * (w2 - 1) + b * (w2**2 - 1) + c * (power(w2, 3) - 1)),
            2 * w1 * (a + 2 * b * w2 + 3 * c * w2**2),
        )


class Plateau:
    @staticmethod
    def value(x: Any) -> Any:
        return 1 - np.exp(-total(x**2) / 2)

    @staticmethod
    def gradient(x: Any) -> Any:
        return x * np.exp(-(x**2).sum(axis=-1, keepdims=True) / 2)


class Cliff:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return ((w1 - 3) / 100) ** 2 - (w1 - w2) + np.exp(20 * (w1 - w2))

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        wall = 20 * np.exp(20 * (w1 - w2))
        return pair(2 * (w1 - 3) / 1e4 - 1 + wall, 1 - wall)


class MonkeySaddle:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return power(w1, 3) - 3 * w1 * w2**2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(3 * w1**2 - 3 * w2**2, -6 * w1 * w2)


class Himmelblau:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return (w1**2 + w2 - 11) ** 2 + (w1 + w2**2 - 7) ** 2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        a, b = w1**2 + w2 - 11, w1 + w2**2 - 7
        return pair(4 * w1 * a + 2 * b, 2 * a + 4 * w2 * b)


class ThreeHumpCamel:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return 2 * w1**2 - 1.05 * power(w1, 4) + power(w1, 6) / 6 + w1 * w2 + w2**2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(4 * w1 - 4.2 * power(w1, 3) + power(w1, 5) + w2, w1 + 2 * w2)


class SixHumpCamel:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return (4 - 2.1 * w1**2 + power(w1, 4) / 3) * w1**2 + w1 * w2 + (4 * w2**2 - 4) * w2**2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(8 * w1 - 8.4 * power(w1, 3) + 2 * power(w1, 5) + w2, w1 - 8 * w2 + 16 * power(w2, 3))


class GoldsteinPrice:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        first = 1 + (w1 + w2 + 1) ** 2 * (19 - 14 * w1 + 3 * w1**2 - 14 * w2 + 6 * w1 * w2 + 3 * w2**2)
        second = 30 + (2 * w1 - 3 * w2) ** 2 * (18 - 32 * w1 + 12 * w1**2 + 48 * w2 - 36 * w1 * w2 + 27 * w2**2)
        return np.asarray(first * second)

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        a, b = w1 + w2 + 1, 2 * w1 - 3 * w2
        p = 19 - 14 * w1 + 3 * w1**2 - 14 * w2 + 6 * w1 * w2 + 3 * w2**2
        q = 18 - 32 * w1 + 12 * w1**2 + 48 * w2 - 36 * w1 * w2 + 27 * w2**2
        # The first factor changes alike along both axes, the second only with b: 2 along w1, -3 along w2.
        along_a = (2 * a * p + a**2 * (6 * (w1 + w2) - 14)) * (30 + b**2 * q)
        along_b = (2 * b * q + b**2 * (6 * b - 16)) * (1 + a**2 * p)
        return pair(along_a + 2 * along_b, along_a - 3 * along_b)


class Branin:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        bend = w2 - 5.1 / (4 * pi**2) * w1**2 + 5 / pi * w1 - 6
        return bend**2 + 10 * (1 - 1 / (8 * pi)) * np.cos(w1) + 10

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        bend = w2 - 5.1 / (4 * pi**2) * w1**2 + 5 / pi * w1 - 6
        slope = 5 / pi - 5.1 / (2 * pi**2) * w1
        return pair(2 * bend * slope - 10 * (1 - 1 / (8 * pi)) * np.sin(w1), 2 * bend)


class McCormick:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return np.sin(w1 + w2) + (w1 - w2) ** 2 - 1.5 * w1 + 2.5 * w2 + 1

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        wave = np.cos(w1 + w2)
        return pair(wave + 2 * (w1 - w2) - 1.5, wave - 2 * (w1 - w2) + 2.5)


class Bohachevsky:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return w1**2 + 2 * w2**2 - 0.3 * np.cos(3 * pi * w1) - 0.4 * np.cos(4 * pi * w2) + 0.7

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(2 * w1 + 0.9 * pi * np.sin(3 * pi * w1), 4 * w2 + 1.6 * pi * np.sin(4 * pi * w2))


class Levy13:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return (
            np.sin(3 * pi * w1) ** 2
            + (w1 - 1) ** 2 * (1 + np.sin(3 * pi * w2) ** 2)
            + (w2 - 1) ** 2 * (1 + np.sin(2 * pi * w2) ** 2)
        )

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return pair(
            3 * pi * np.sin(6 * pi * w1) + 2 * (w1 - 1) * (1 + np.sin(3 * pi * w2) ** 2),
            3 * pi * (w1 - 1) ** 2 * np.sin(6 * pi * w2)
            + 2 * (w2 - 1) * (1 + np.sin(2 * pi * w2) ** 2)
            + 2 * pi * (w2 - 1) ** 2 * np.sin(4 * pi * w2),
        )


class Easom:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return -np.cos(w1) * np.cos(w2) * np.exp(-((w1 - pi) ** 2 + (w2 - pi) ** 2))

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        hole = np.exp(-((w1 - pi) ** 2 + (w2 - pi) ** 2))
        return pair(
            hole * np.cos(w2) * (np.sin(w1) + 2 * (w1 - pi) * np.cos(w1)),
            hole * np.cos(w1) * (np.sin(w2) + 2 * (w2 - pi) * np.cos(w2)),
        )


class DropWave:
    @staticmethod
    def value(x: Any) -> Any:
        square = total(x**2)
        return -(1 + np.cos(12 * np.sqrt(square))) / (square / 2 + 2)

    @staticmethod
    def gradient(x: Any) -> Any:
        square = (x**2).sum(axis=-1, keepdims=True)
        radius, depth = np.sqrt(square), square / 2 + 2
        # sin(12r)/r is a sinc: it has a value at the centre.
        return x * (144 * np.sinc(12 * radius / pi) / depth + (1 + np.cos(12 * radius)) / depth**2)


class Schaffer2:
    @staticmethod
    def value(x: Any) -> Any:
        w1, w2 = coordinates(x)
        return 0.5 + (np.sin(w1**2 - w2**2) ** 2 - 0.5) / (1 + 0.001 * (w1**2 + w2**2)) ** 2

    @staticmethod
    def gradient(x: Any) -> Any:
        w1, w2 = coordinates(x)
        wave, damping = w1**2 - w2**2, 1 + 0.001 * (w1**2 + w2**2)
        rise = 2 * np.sin(2 * wave) / damping**2
        fade = -0.004 * (np.sin(wave) ** 2 - 0.5) / power(damping, 3)
        return pair(w1 * (rise + fade), w2 * (fade - rise))


class Michalewicz:
    @staticmethod
    def value(x: Any) -> Any:
        i = np.array([1, 2])
        return -total(np.sin(x) * power(np.sin(i * x**2 / pi), 20))

    @staticmethod
    def gradient(x: Any) -> Any:
        i = np.array([1, 2])
        phase = i * x**2 / pi
        ditch = power(np.sin(phase), 19)
        return -(np.cos(x) * ditch * np.sin(phase) + np.sin(x) * 40 * i * x / pi * ditch * np.cos(phase))


HANDWRITTEN: dict[str, Any] = {
    "ravine": Ravine,
    "sphere": Sphere,
    "booth": Booth,
    "matyas": Matyas,
    "abs-ravine": AbsRavine,
    "saddle": Saddle,
    "beale": Beale,
    "plateau": Plateau,
    "cliff": Cliff,
    "monkey-saddle": MonkeySaddle,
    "himmelblau": Himmelblau,
    "three-hump-camel": ThreeHumpCamel,
    "six-hump-camel": SixHumpCamel,
    "goldstein-price": GoldsteinPrice,
    "branin": Branin,
    "mccormick": McCormick,
    "bohachevsky": Bohachevsky,
    "levy13": Levy13,
    "easom": Easom,
    "drop-wave": DropWave,
    "schaffer2": Schaffer2,
    "michalewicz": Michalewicz,
}
