"""Pictures as files, by matplotlib. Only this package imports it, and only inside its functions.

Every picture is a matplotlib Figure until `save` writes it; the extension of the file chooses the format.
"""

from optilab.figures.animation import animate
from optilab.figures.map import heat_map
from optilab.figures.network_race import network_race
from optilab.figures.paths import paths
from optilab.figures.race import race
from optilab.figures.rates import rates
from optilab.figures.style import check, png, save
from optilab.figures.training import training

__all__ = ["animate", "check", "heat_map", "network_race", "paths", "png", "race", "rates", "save", "training"]
