"""The verbs of optilab on an object, `Lab`, and the code that the commands share with it.

lab.py         Lab: optimize, train, sweep, race, compare, verify, load, runs
arguments.py   Python's arguments as the changes of a config that a command line makes, and as that command
paths.py       algorithms on a test function
training.py    one training, from its config to its end
logged.py      the epochs of a training on their way to a tracker
execution.py   a study, opened or continued, and watched
races.py       rules against each other, on test functions or trainings
comparison.py  groups of runs side by side
verification.py  an implementation against a rule
entries.py     runs and studies as they are on disk
result.py      what every verb returns: rows, a data frame, a picture, a page, and how a notebook shows it

A command parses, calls these functions and shows what they return; it has no code of its own in between.
"""
