"""The versions, machine and data that runs were made with."""

from collections.abc import Mapping, Sequence
from typing import Any

from optilab.config.tree import flat
from optilab.judge.groups import value_text
from optilab.runs import Record

SECTIONS = ("versions", "host", "numerics", "environment")


def circumstances(record: Record) -> dict[str, str]:
    """Under which versions, on which machine and data a run was made, as text by dotted keys of its manifest."""
    manifest = record.manifest
    facts = flat({section: manifest.get(section, {}) for section in SECTIONS})
    facts |= {f"data.{key}": manifest.get("data", {}).get(key) for key in ("dataset", "train", "validation")}
    facts |= {f"data.{name}": digest for name, digest in manifest.get("data", {}).get("sha256", {}).items()}
    git = manifest.get("git", {})
    facts["git.commit"] = f"{git.get('commit', 'none')}{' (changed)' if git.get('dirty') else ''}"
    return {key: value_text(value) if not isinstance(value, str) else value for key, value in facts.items()}


def varying(facts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The keys whose values are not the same in all: value -> how many have it; `none` where a key is absent."""
    keys = dict.fromkeys(key for run in facts for key in run)
    counts: dict[str, dict[str, int]] = {}
    for key in keys:
        of_key: dict[str, int] = {}
        for run in facts:
            value = run.get(key, "none")
            of_key[value] = of_key.get(value, 0) + 1
        if len(of_key) > 1:
            counts[key] = of_key
    return counts
