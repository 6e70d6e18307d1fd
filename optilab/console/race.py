"""`optilab race`: the standings, and what cannot be told."""

from optilab import console
from optilab.studies.race import Race, standings


def progress(done: int, total: int) -> None:
    """A line that is written over on a terminal; nothing in a pipe."""
    if console.err.is_terminal:
        console.err.print(f"heat {done} of {total}", end="\r" if done < total else "\n")


def show(race: Race, drawn: bool) -> None:
    """Rules by mean rank, with intervals; `drawn` if the picture is written already."""
    rules = race.rules
    console.say(
        f"{_count(race.algos, 'algorithm')} on {_count(race.functions, 'function')}   {rules.budget} settings tried on "
        f"{rules.starts} starts, raced on {rules.starts} others   {rules.steps} steps",
        style="bold",
    )
    console.say()
    found = standings(race)
    rows = [
        [
            standing.algo,
            f"{standing.rank:.2f}",
            f"{standing.rank_interval[0]:.2f} to {standing.rank_interval[1]:.2f}",
            f"{standing.solved:.0%}",
            f"{standing.solved_interval[0]:.0%} to {standing.solved_interval[1]:.0%}",
            standing.against_first,
        ]
        for standing in found
    ]
    console.show(console.grid(["algo", "rank", "95 %", "solved", "95 %", "verdict"], rows, left=(0, 5)))
    console.say()
    unsure = [standing.algo for standing in found if standing.against_first == "cannot tell"]
    if unsure:
        console.say(f"cannot tell {found[0].algo} from {', '.join(unsure)}: more functions would help")
    elif len(found) > 1:
        console.say(f"{found[0].algo} is ahead of all others")
    picture = "" if drawn else "; profile and tuning curves: --plot race.png"
    console.say(f"settings used, and every cost: --json{picture}")


def _count(names: list[str], what: str) -> str:
    return f"{len(names)} {what}{'s' * (len(names) > 1)}"
