"""The playground: one HTML page on which rules run while their settings are moved.

controls.py   the slider of a setting: its range, and how it is divided
programs.py   the JavaScript of a rule, for all of its forms
scene.py      what a page shows, its data, and the page

In ../assets: model.js (state, paths), pictures.js, panel.js (sliders, tables) and player.js, which starts the page.
The code of rules, functions and theory is emitted from their traces (`optilab.optimize.emit`); the page has no
arithmetic of its own but that of its pictures.
"""

from optilab.pages.play.programs import require
from optilab.pages.play.scene import MOST_EPOCHS, Scene, page, recorded, scene

__all__ = ["MOST_EPOCHS", "Scene", "page", "recorded", "require", "scene"]
