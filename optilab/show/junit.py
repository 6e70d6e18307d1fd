"""Results as JUnit's XML, which CI servers and gradebooks read."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from optilab.errors import printable


@dataclass(frozen=True)
class TestCase:
    """A test: it holds, or `kind` names how it fails."""

    name: str
    text: str = ""
    kind: str = ""
    """The type of the failure; empty if it holds."""
    is_error: bool = False
    """True if the test could not be carried out."""


@dataclass(frozen=True)
class Suite:
    """The tests of one target."""

    name: str
    cases: Sequence[TestCase]
    seconds: float = 0.0


def xml(suites: Sequence[Suite]) -> bytes:
    """The document."""
    root = ElementTree.Element("testsuites", name="optilab")
    for suite in suites:
        errors = sum(case.is_error for case in suite.cases)
        failures = sum(bool(case.kind) for case in suite.cases) - errors
        counts = {"tests": len(suite.cases), "failures": failures, "errors": errors}
        texts = {"name": _safe(suite.name), **{key: str(n) for key, n in counts.items()}}
        node = ElementTree.SubElement(root, "testsuite", texts | {"time": f"{suite.seconds:.3f}"})
        for case in suite.cases:
            element = ElementTree.SubElement(node, "testcase", classname=_safe(suite.name), name=_safe(case.name))
            if case.kind:
                tag = "error" if case.is_error else "failure"
                ElementTree.SubElement(element, tag, type=case.kind, message=_safe(case.text))
            elif case.text:
                ElementTree.SubElement(element, "system-out").text = _safe(case.text)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _safe(text: str) -> str:
    """Text without the characters that XML 1.0 has no place for."""
    return "".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in printable(text.replace("\n", "; ")))
