"""A module for each command of `TASKS`: its options, its work and its answer. Several commands share the other modules:
requests and options, answers, tables and details of comparisons and races, and charts.
"""

TASKS = {
    "Optimizers on test functions": {
        "optimize": "Run optimizers on a test function, step by step.",
        "explain": "Show the arithmetic of single steps, number by number.",
        "verify": "Check an implementation of yours against an optimizer.",
        "grade": "Check many implementations against an optimizer, each isolated.",
        "map": "Map one optimizer over a grid of settings or starting points.",
        "play": "Write an HTML page with sliders; the trajectories follow.",
        "race": "Compare optimizers on test functions, tuned with the same budget.",
    },
    "Training networks": {
        "train": "Train a network; a run can be stopped and resumed.",
        "diagnose": "Find out why a network does not learn, and what to change.",
        "remedy": "Try every known remedy on one network.",
        "lr": "Find a learning rate by a range test.",
        "sweep": "Train one network over axes of settings, on every core.",
        "benchmark": "Compare optimizers on networks, tuned with the same budget.",
    },
    "Results": {
        "runs": "Work with runs: ls, show, compare, diff, plot, export, path, rm.",
        "report": "Write runs and studies as one HTML page.",
        "check": "Judge claims about results; exit with status 9 if one fails.",
    },
    "Setup": {
        "config": "Work with configs and their keys: ls, show, schema, cp, check.",
        "data": "Work with datasets: ls, fetch, verify.",
        "env": "Print versions and machine, for a bug report.",
        "help": "Explain a topic, a word, a finding or an option.",
    },
}
"""The commands by task, each a module of `optilab.commands`, with their lines in `--help`."""
COMMANDS = {name: line for commands in TASKS.values() for name, line in commands.items()}
GONE = {
    "check": {
        "epochs": "train and optimize have it, next to --expect",
        "seeds": "train has it, next to --expect",
        "set": "train and optimize have it, next to --expect",
        "data_dir": "train has it, next to --expect",
    },
    "race": {"on": "benchmark compares optimizers on networks"},
    "remedy": {
        "columns": "`optilab runs compare` has it",
        "tune": "--over optimizer.lr tries rates, and `optilab runs compare --by remedy --best` takes the best of each",
    },
    "sweep": {"columns": "`optilab runs compare` has it"},
    "train": {"log": "`optilab runs export --tensorboard DIR` writes event files"},
}
"""The options that earlier versions had, by command: each is refused with what has its place."""
