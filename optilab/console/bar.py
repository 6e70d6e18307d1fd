"""The progress bar of long work."""

from rich.progress import BarColumn, Progress, TextColumn

from optilab import console


class Bar(Progress):
    """Description, bar, and the field `left`, on stderr where that is a terminal; else nothing at all."""

    def __init__(self, quiet: bool) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}")
        live = console.err.is_terminal and not quiet
        super().__init__(*columns, console=console.err, transient=True, disable=not live)

    def stop(self) -> None:
        if not self.disable:  # rich 14 prints a line all the same
            super().stop()
