"""The test functions that are formulas of two coordinates: bowls, valleys, basins, ripples.

A function is its formula. Where `slope` gives the gradient, too, the derivative of the formula would differ from it in
the last bit, and so would published paths.
"""

from math import log, pi

import numpy as np

from optilab.optimize.objective import (
    Floats,
    Formula,
)


class Ravine(Formula):
    """A quadratic that is twenty times steeper along w2 than along w1: the published exercise."""

    name = "ravine"
    formula = "0.1*w1^2 + 2*w2^2"
    source = "the exercise behind this tool; d2l.ai, 'Momentum'"
    minima = ((0.0, 0.0),)
    start = (-5.0, -2.0)
    box = ((-6.0, 3.0), (-3.0, 3.0))


class Sphere(Formula):
    """The sum of squares: every direction is alike."""

    name = "sphere"
    formula = "w1^2 + w2^2"
    source = "De Jong 1975, f1"
    minima = ((0.0, 0.0),)
    start = (-4.0, 3.0)
    box = ((-5.12, 5.12), (-5.12, 5.12))


class Booth(Formula):
    """A mildly stretched bowl away from the origin."""

    name = "booth"
    formula = "(w1 + 2*w2 - 7)^2 + (2*w1 + w2 - 5)^2"
    source = "Jamil & Yang 2013, no. 20"
    minima = ((1.0, 3.0),)
    start = (-5.0, -5.0)
    box = ((-10.0, 10.0), (-10.0, 10.0))


class Matyas(Formula):
    """A bowl with one nearly flat diagonal: condition number 25, turned by 45 degrees."""

    name = "matyas"
    formula = "0.26*(w1^2 + w2^2) - 0.48*w1*w2"
    source = "Jamil & Yang 2013, no. 71"
    minima = ((0.0, 0.0),)
    start = (-8.0, 5.0)
    box = ((-10.0, 10.0), (-10.0, 10.0))


class AbsRavine(Formula):
    """The ravine with a sharp bed: the gradient never gets small, so a constant step never settles.

    The gradient on the kinks, where there is none, is 0 in the coordinate that is 0.
    """

    name = "abs-ravine"
    formula = "0.1*abs(w1) + 2*abs(w2)"
    source = "the ravine with |w| for w^2; Shor 1985 for the method it needs"
    minima = ((0.0, 0.0),)
    start = (-5.0, -2.0)
    box = ((-6.0, 3.0), (-3.0, 3.0))


class Saddle(Formula):
    """Down on one axis, up on the other; the start lies almost on the ridge that leads to the saddle."""

    name = "saddle"
    formula = "w1^2 - w2^2"
    source = "Dauphin et al. 2014"
    minima = ()
    start = (-1.5, 0.001)
    box = ((-2.0, 2.0), (-2.0, 2.0))


class Beale(Formula):
    """A flat valley between steep corners."""

    name = "beale"
    formula = "(1.5 - w1 + w1*w2)^2 + (2.25 - w1 + w1*w2^2)^2 + (2.625 - w1 + w1*w2^3)^2"
    slope = (
        "a = 1.5 - w1 + w1*w2; "
        "b = 2.25 - w1 + w1*w2^2; "
        "c = 2.625 - w1 + w1*w2^3; "
        "g1 = 2*(a*(w2 - 1) + b*(w2^2 - 1) + c*(w2^3 - 1)); "
        "g2 = 2*w1*(a + 2*b*w2 + 3*c*w2^2)"
    )
    source = "Moré, Garbow & Hillstrom 1981, no. 5"
    minima = ((3.0, 0.5),)
    start = (1.0, 1.0)
    box = ((-4.5, 4.5), (-4.5, 4.5))


class Plateau(Formula):
    """A hole in a plain: far from it the gradient almost vanishes."""

    name = "plateau"
    formula = "1 - exp(-(w1^2 + w2^2)/2)"
    slope = "e = exp(-(w1^2 + w2^2)/2); g1 = w1*e; g2 = w2*e"
    source = "a Gaussian; the plain of saturated units, Glorot & Bengio 2010"
    minima = ((0.0, 0.0),)
    start = (-2.5, -1.5)
    box = ((-4.0, 4.0), (-4.0, 4.0))


class Cliff(Formula):
    """A slope that ends at a wall, where the gradient is enormous: the case for clipping."""

    name = "cliff"
    formula = "((w1 - 3)/100)^2 - (w1 - w2) + exp(20*(w1 - w2))"
    slope = "wall = 20*exp(20*(w1 - w2)); g1 = 2*(w1 - 3)/10000 - 1 + wall; g2 = 1 - wall"
    source = "Buckley 1989, no. 206; CUTEst, CLIFF"
    minima = ((3.0, 3 + log(20) / 20),)
    start = (0.0, -1.0)
    box = ((-1.0, 4.0), (-1.0, 4.5))


class MonkeySaddle(Formula):
    """Three ways down; at the saddle even the Hessian is zero."""

    name = "monkey-saddle"
    formula = "w1^3 - 3*w1*w2^2"
    source = "Hilbert & Cohn-Vossen 1932"
    minima = ()
    start = (1.5, 0.01)
    box = ((-2.0, 2.0), (-2.0, 2.0))


class Himmelblau(Formula):
    """Four minima, all equally good."""

    name = "himmelblau"
    formula = "(w1^2 + w2 - 11)^2 + (w1 + w2^2 - 7)^2"
    source = "Himmelblau 1972"
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    start = (0.0, 0.0)
    box = ((-5.0, 5.0), (-5.0, 5.0))


class ThreeHumpCamel(Formula):
    """One global minimum between two local ones."""

    name = "three-hump-camel"
    formula = "2*w1^2 - 1.05*w1^4 + w1^6/6 + w1*w2 + w2^2"
    slope = "g1 = 4*w1 - 4.2*w1^3 + w1^5 + w2; g2 = w1 + 2*w2"
    source = "Branin 1972; Jamil & Yang 2013, no. 29"
    minima = ((0.0, 0.0),)
    start = (-2.0, 2.0)
    box = ((-5.0, 5.0), (-5.0, 5.0))


class SixHumpCamel(Formula):
    """Six minima, two of them global."""

    name = "six-hump-camel"
    formula = "(4 - 2.1*w1^2 + w1^4/3)*w1^2 + w1*w2 + (4*w2^2 - 4)*w2^2"
    slope = "g1 = 8*w1 - 8.4*w1^3 + 2*w1^5 + w2; g2 = w1 - 8*w2 + 16*w2^3"
    source = "Dixon & Szegö 1978"
    minima = (
        (0.08984201310031807, -0.7126564030207396),
        (-0.08984201310031807, 0.7126564030207396),
    )
    start = (-2.0, -0.5)
    box = ((-3.0, 3.0), (-2.0, 2.0))


class GoldsteinPrice(Formula):
    """Values from 3 to a million: the curvature, and the right learning rate, vary as much."""

    name = "goldstein-price"
    formula = (
        "(1 + (w1 + w2 + 1)^2*(19 - 14*w1 + 3*w1^2 - 14*w2 + 6*w1*w2 + 3*w2^2))"
        "*(30 + (2*w1 - 3*w2)^2*(18 - 32*w1 + 12*w1^2 + 48*w2 - 36*w1*w2 + 27*w2^2))"
    )
    slope = (
        "a = w1 + w2 + 1; "
        "b = 2*w1 - 3*w2; "
        "p = 19 - 14*w1 + 3*w1^2 - 14*w2 + 6*w1*w2 + 3*w2^2; "
        "q = 18 - 32*w1 + 12*w1^2 + 48*w2 - 36*w1*w2 + 27*w2^2; "
        "A = (2*a*p + a^2*(6*(w1 + w2) - 14))*(30 + b^2*q); "
        "B = (2*b*q + b^2*(6*b - 16))*(1 + a^2*p); "
        "g1 = A + 2*B; "
        "g2 = A - 3*B"
    )
    source = "Goldstein & Price 1971"
    minima = ((0.0, -1.0),)
    start = (0.5, -0.5)
    box = ((-2.0, 2.0), (-2.0, 2.0))


class Branin(Formula):
    """Three minima in the box, all equally good; further ones, just as low, lie outside it."""

    name = "branin"
    formula = "(w2 - 5.1/(4*pi^2)*w1^2 + 5/pi*w1 - 6)^2 + 10*(1 - 1/(8*pi))*cos(w1) + 10"
    source = "Branin 1972; Dixon & Szegö 1978"
    minima = ((-pi, 12.275), (pi, 2.275), (3 * pi, 2.475))
    start = (2.5, 7.5)
    box = ((-5.0, 10.0), (0.0, 15.0))


class McCormick(Formula):
    """A valley with one minimum in the box; f is unbounded below outside it, where the valley repeats lower."""

    name = "mccormick"
    formula = "sin(w1 + w2) + (w1 - w2)^2 - 1.5*w1 + 2.5*w2 + 1"
    source = "McCormick in Lootsma 1972; Jamil & Yang 2013, no. 72"
    minima = ((0.5 - pi / 3, -0.5 - pi / 3),)
    start = (3.0, 2.0)
    box = ((-1.5, 4.0), (-3.0, 4.0))  # Surjanovic & Bingham 2013; others end w2 at 3


class Bohachevsky(Formula):
    """Small ripples on a bowl (the first of the three). In the literature's box, +-100, they drown."""

    name = "bohachevsky"
    formula = "w1^2 + 2*w2^2 - 0.3*cos(3*pi*w1) - 0.4*cos(4*pi*w2) + 0.7"
    slope = "g1 = 2*w1 + 0.9*pi*sin(3*pi*w1); g2 = 4*w2 + 1.6*pi*sin(4*pi*w2)"
    source = "Bohachevsky, Johnson & Stein 1986"
    minima = ((0.0, 0.0),)
    start = (-1.5, 1.2)
    box = ((-2.0, 2.0), (-2.0, 2.0))


class Levy13(Formula):
    """Waves in both directions, deeper far from the minimum."""

    name = "levy13"
    formula = "sin(3*pi*w1)^2 + (w1 - 1)^2*(1 + sin(3*pi*w2)^2) + (w2 - 1)^2*(1 + sin(2*pi*w2)^2)"
    slope = (
        "g1 = 3*pi*sin(6*pi*w1) + 2*(w1 - 1)*(1 + sin(3*pi*w2)^2); "
        "g2 = 3*pi*(w1 - 1)^2*sin(6*pi*w2) + 2*(w2 - 1)*(1 + sin(2*pi*w2)^2) + 2*pi*(w2 - 1)^2*sin(4*pi*w2)"
    )
    source = "Mishra 2006; ten times a function of Levy & Montalvo 1985"
    minima = ((1.0, 1.0),)
    start = (-4.0, 5.0)
    box = ((-10.0, 10.0), (-10.0, 10.0))


class Easom(Formula):
    """One narrow hole at (pi, pi); everywhere else almost exactly zero. The literature's box is +-100."""

    name = "easom"
    formula = "-cos(w1)*cos(w2)*exp(-((w1 - pi)^2 + (w2 - pi)^2))"
    slope = (
        "h = exp(-((w1 - pi)^2 + (w2 - pi)^2)); "
        "g1 = h*cos(w2)*(sin(w1) + 2*(w1 - pi)*cos(w1)); "
        "g2 = h*cos(w1)*(sin(w2) + 2*(w2 - pi)*cos(w2))"
    )
    source = "Easom 1990"
    minima = ((pi, pi),)
    start = (2.0, 4.0)
    box = ((0.0, 6.0), (0.0, 6.0))


class DropWave(Formula):
    """The rings of a drop in water."""

    name = "drop-wave"
    formula = "-(1 + cos(12*sqrt(w1^2 + w2^2)))/((w1^2 + w2^2)/2 + 2)"
    source = "Surjanovic & Bingham 2013"
    minima = ((0.0, 0.0),)
    start = (-1.0, 0.6)
    box = ((-2.0, 2.0), (-2.0, 2.0))

    def gradient(self, x: Floats) -> Floats:
        square = (x**2).sum(axis=-1, keepdims=True)
        radius, depth = np.sqrt(square), square / 2 + 2
        # sin(12r)/r is a sinc: unlike the derivative of the formula it has a value at the center.
        return np.asarray(x * (144 * np.sinc(12 * radius / pi) / depth + (1 + np.cos(12 * radius)) / depth**2))


class Schaffer2(Formula):
    """Rings of saddles around a flat center. The literature's box is +-100."""

    name = "schaffer2"
    formula = "0.5 + (sin(w1^2 - w2^2)^2 - 0.5)/(1 + 0.001*(w1^2 + w2^2))^2"
    slope = (
        "u = w1^2 - w2^2; "
        "v = 1 + 0.001*(w1^2 + w2^2); "
        "r = 2*sin(2*u)/v^2; "
        "f = -0.004*(sin(u)^2 - 0.5)/v^3; "
        "g1 = w1*(r + f); "
        "g2 = w2*(f - r)"
    )
    source = "Mishra 2006, after Schaffer et al. 1989; Jamil & Yang 2013, no. 113"
    minima = ((0.0, 0.0),)
    start = (-1.5, 0.5)
    box = ((-3.0, 3.0), (-3.0, 3.0))


class Michalewicz(Formula):
    """Narrow ditches that cross at the box's minimum, on a flat plain; outside the box f is lower in places."""

    name = "michalewicz"
    formula = "-sin(w1)*sin(w1^2/pi)^20 - sin(w2)*sin(2*w2^2/pi)^20"
    slope = (
        "a = w1^2/pi; "
        "b = 2*w2^2/pi; "
        "g1 = -(cos(w1)*sin(a)^19*sin(a) + sin(w1)*40*w1/pi*sin(a)^19*cos(a)); "
        "g2 = -(cos(w2)*sin(b)^19*sin(b) + sin(w2)*80*w2/pi*sin(b)^19*cos(b))"
    )
    source = "Michalewicz 1992, with m = 10"
    minima = ((2.2029055201726, pi / 2),)
    start = (2.0, 1.75)
    box = ((0.0, pi), (0.0, pi))
