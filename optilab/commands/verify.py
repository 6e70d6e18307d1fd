"""`optilab verify`: compares your implementation with an optimizer."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc

from optilab import signals
from optilab.annotations import Argument
from optilab.answer.verification import ComparisonSetup, LabVerification
from optilab.config.presets import is_config
from optilab.errors import UsageError, shown
from optilab.optimize import RULES
from optilab.optimize.interfaces import find_optimizer
from optilab.optimize.user_rule import rule_class
from optilab.request.on_functions import Against
from optilab.request.request import Place
from optilab.show import terminal
from optilab.user_code import user_code
from optilab.verify import submissions
from optilab.words import listed


class Verify(Against):
    """Compare an implementation of yours with an optimizer, in float64, step by step."""

    EXAMPLES = (
        "optilab verify my_adam.py --against adam",
        "optilab verify my_momentum.py:step --against momentum --set algo.form=ema --json",
    )
    NOTES: ClassVar[str] = """\b
A file may define (arguments are recognized by their names):
  def momentum(w, g, lr, V, beta): return w, V
                                     its state is what it returns after w
  class Adam with update(w, g) -> w  hyperparameters in __init__
  class Rule with init(x), update(g, state)
                                     the step API of optilab.optimize
  class Mine(torch.optim.Optimizer)

The file is not isolated: it runs in a process of its own with your rights; `grade` isolates other people's.
Exit status 9: something differs.
"""

    NEEDS: ClassVar[Mapping[str, Sequence[str]]] = {"against": ("candidate",)}

    candidate: Annotated[
        Any,
        Argument("FILE[:NAME]", repeated=True),
        Doc("Your class or function, by default the only one that fits"),
    ]

    def run(self, place: Place) -> "LabVerification":
        """The verdict on one implementation."""
        from optilab.verify import candidate as candidates

        candidate = self._candidate()
        setup: Any = ComparisonSetup.of(str(self.against), self.changes, self.flag("against"))
        file, name = submissions.split(candidate) if isinstance(candidate, str) else ("", "")
        if file.endswith(".py"):
            user_code(f"{file}:{name}" if name else file)  # it is refused before a process starts
        if not place.library and Path(file).is_file():
            with signals.without_sigpipe():  # the file may close its end
                return _verify_file(Path(file), name, setup, self)
        if file.endswith(".py") and not name:
            candidate = find_optimizer(user_code(file), setup.rule.original.name)
        loaded = candidates.load(candidate)
        return LabVerification(loaded.name, setup, setup.compare(loaded), loaded, rule_class(candidate))

    def _candidate(self) -> Any:
        """The class, function or FILE:NAME. UsageError for anything else, and for several files."""
        several = self.candidate if isinstance(self.candidate, list) else [self.candidate]
        candidate = several[0] if len(several) == 1 else several
        if len(several) > 1 or (
            isinstance(candidate, str) and (submissions.is_pattern(candidate) or Path(candidate).is_dir())
        ):
            raise UsageError(f"expected one file, got {listed(map(shown, several))}; `grade` compares many")
        if isinstance(candidate, str) and (candidate in RULES or is_config(candidate)):
            if not candidate.endswith(submissions.NOTEBOOK):
                raise UsageError(f"expected FILE.py:NAME, got {shown(candidate)}")
        elif not (isinstance(candidate, str) or callable(candidate)):
            expected = "expected a class, a function or FILE.py:NAME"
            raise UsageError(f"{expected}, got {shown(self.candidate)}", self.flag("candidate"))
        return candidate


def _verify_file(file: Path, name: str, setup: "ComparisonSetup", request: Verify) -> "LabVerification":
    """One file, in a separate process; its output goes to stderr."""
    from optilab.verify.sandbox import Sandbox, running

    program = submissions.read_program(file) if file.suffix == submissions.NOTEBOOK else None
    with running(file, program, name, setup.rule.name, Sandbox(request.timeout)) as submission:
        try:
            candidate = submission.load()
            verdict = setup.compare(candidate)
        finally:
            if output := submission.output:
                terminal.note(f"what {file} printed:")
                sys.stderr.write(output)
    return LabVerification(candidate.name, setup, verdict, function=request.function)


COMMAND = Verify
