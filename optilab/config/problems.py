"""The problem of a value, in words: what is wrong with it and what to write instead."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from optilab.config import yaml
from optilab.config.fields import choice_of, decimal, percentage, section_of
from optilab.config.location import Location
from optilab.errors import Problem, none_of, shown
from optilab.marks import Field


def problem_of(
    details: Any,
    at: Callable[[yaml.Path], Location],
    unknown: Callable[[yaml.Path], str],
    places: Mapping[yaml.Path, str],
    source: str,
) -> Problem:
    """What pydantic found, in words: `at` is a place of the config, `unknown` what is said of a key that does not
    exist, `places` where each key was written, by default in `source`.
    """
    context = details.get("ctx", {})
    path = tuple(context["key"].split(".")) if "key" in context else tuple(details["loc"])
    # A union adds the names of its branches to the path; they are not keys.
    plain = re.compile(r"(?!constrained-)[^\s\[\]()]+")
    key_at = (
        len(path) - 1 if details["type"] == "extra_forbidden" else -1
    )  # the last is one, whatever it looks like
    path = tuple(
        part for n, part in enumerate(path) if isinstance(part, int) or n == key_at or plain.fullmatch(part)
    )
    if path not in places:
        # A single optimizer is a list of one to the schema; its author wrote no list.
        keys = tuple(part for part in path if isinstance(part, str))
        path = keys if keys in places or ("algo" in keys[:1] and 0 in path[1:2]) else path
    if details["type"] == "refused" and path[-1:] == ("name",) and path not in places:  # `optimizer: SGD`
        path = path[:-1]
    inside = (place for place in places if path and place[: len(path)] == path)  # `--set model.hidden.0=5`
    written = next((path[:n] for n in range(len(path), 0, -1) if path[:n] in places), next(inside, None))
    where = places[written] if written else source
    message = _message(details, context, lambda: unknown(path), lambda: at(path).field)
    choosing = at(path).schema.kind == "train" and (asked := at(path).field) and choice_of(asked)
    if choosing and message.startswith(f"expected one {choosing.what}, got"):
        given = at(path).value
        names = [part.strip() for part in given.split(",")] if isinstance(given, str) else map(str, given)
        several = ",".join(names)
        message += f"; several are for a sweep (--over {yaml.dotted(path)}={several})"
    if (
        details["type"] in ("model_type", "dict_type", "dataclass_type")
        and (such := at(path).example()) != "VALUE"
    ):
        message += f", such as {such}"
    elif details["type"] == "dict_type" and "=" in (text := str(details["input"])):
        key, _, values = text.partition("=")
        message += f"; write {{{key}: [{values}]}}"
    elif details["type"] == "dict_type" and path[-1:] == ("over",):
        message += ', such as {"optimizer.lr": [0.01, 0.1]}'
    whole, end = at(details["loc"][:-1]).value, details["loc"][-1:]
    if (
        details["type"] == "tuple_type" and isinstance(whole, list) and list not in map(type, whole)
    ):  # a pair in place of a list of pairs
        path = path[:-1] if path[-1:] == end else path
        message = f"expected a list of lists; write {yaml.flow([whole])}"
    if details["type"] == "missing":
        key = yaml.dotted(path)
        example = at(path).example()
        doc = f" ({asked.doc})" if example == "VALUE" and (asked := at(path).field) and asked.doc else ""
        message += (
            f"; add --set {key}={example}" if where.startswith("--") else f"; add {path[-1]}: {example}{doc}"
        )
    if details["type"] == "string_type" and where.startswith("--"):  # a shell takes one pair of quotes away
        message = re.sub(r'"[^"]*"$', r"'\g<0>'", message)
    if re.fullmatch(r"(?!--).*:\d+", where):  # an example for the command line, as it is written in a file
        message = re.sub(r"--(\w+)=([-\d.,]+)", r"\1: [\2]", message)
    if "expect" in path[:-1]:
        last = path.index("expect") + 2
        claim = at(path[:last]).value or at(path[: last - 1]).value
        if isinstance(claim, str):  # as it was typed
            words = {"at": "at: ", "confidence": "confidence: ", "within": "+-: "}
            message, path = f"{shown(claim)}: {words.get(str(path[-1]), '')}{message}", path[: last - 1]
    problem = typed_problem(where, yaml.dotted(path), message)
    exact = written is not None and (len(written) == len(path) or path[0] == "expect")
    return replace(problem, named=exact and where != source and not where.startswith(f"{source}:"))


def typed_problem(where: str, key: str, message: str) -> Problem:
    """A problem whose key is left out where `where` ends with it, or with the list that has it as an entry."""
    whole = re.sub(r"\[\d+\]$", "", key)
    said = where in (key, f"--{whole}", f"--set {whole}", f"set {whole}")
    return Problem(where, "" if said else key, message)


def _message(
    details: Any, context: Mapping[str, Any], unknown: Callable[[], str], field: Callable[[], Field | None]
) -> str:
    value = details["input"]
    match details["type"]:
        case "extra_forbidden":
            return unknown()
        case "missing":
            return "missing"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            wanted = details["type"].replace("_", " ").replace("greater than equal", "at least")
            ((_, bound),) = context.items()
            advice = (percentage(value) if "less" in wanted and bound == 1 else "") or example(field())
            bound = f"{bound or 0:,}" if "equal" in details["type"] else f"{bound:g}"
            return f"must be {wanted.replace('less than equal', 'at most')} {bound}, got {shown(value)}{advice}"
        case "finite_number":
            return f"expected a finite number, got {shown(value)}{example(field())}"
        case "float_type" | "float_parsing":
            return no_number(value, "number", field())
        case "int_type" | "int_parsing" | "int_from_float" | "int_parsing_size":
            return no_number(value, "whole number", field())
        case "string_type":
            if value is None:
                return "expected text, got nothing; write one, or leave it out"
            quoted = "no" if value is False else "yes" if value is True else shown(value)
            advice = "" if isinstance(value, list | dict) else f'; put quotes around it: "{quoted}"'
            advice = f"; write {value['name']}" if isinstance(value, dict) and "name" in value else advice
            return f"expected text, got {shown(value)}{advice}"
        case "literal_error":
            return none_of(value, [name.strip("'") for name in re.split(r", | or ", context["expected"])])
        case "bool_type":
            return f"expected true or false, got {shown(value)}"
        case "tuple_type" | "list_type":
            of_mappings = (asked := field()) and section_of(asked)
            return f"expected a list, got {shown(value)}{'' if of_mappings else _list_advice(value)}"
        case "model_type" | "dict_type" | "dataclass_type":
            return f"expected a mapping (key: value), got {shown(value)}"
        case "too_short":
            missing = context["min_length"] - context["actual_length"]
            got = ",".join(value) if value and all(isinstance(one, str) for one in value) else shown(value)
            return f"expected a list of at least {context['min_length']}, got {got}; add {missing} or more"
        case "too_long":
            return f"expected at most {context['max_length']}, got {shown(value)}"
        case "string_too_short":
            return "must not be empty"
        case _:
            return str(details["msg"]).removeprefix("Value error, ")


def no_number(value: Any, kind: str, field: Field | None) -> str:
    """`expected a whole number >= 1, got 'ten'; for example 30`, which is the default."""
    advice = number_advice(value, kind != "number", field)
    wanted = re.sub(r", <= [\d,]{16,}", "", field.kind) if field and field.kind.startswith(kind) else kind
    wanted = re.sub(r">= (\S+), <= (\S+)", r"from \1 to \2", wanted)
    finite = "finite " if shown(value).strip("'").lstrip("+-").lower() in ("inf", "infinity", "nan") else ""
    return f"expected a {finite}{wanted}, got {shown(value)}{advice or example(field)}"


def example(field: Field | None) -> str:
    """`; for example 30`, the default of a number; of one without a default, one in its range."""
    default = field.default if field else None
    if field is None or isinstance(default, bool):
        return ""
    if not isinstance(default, int | float) and {int, float} & set(field.parts):
        usual = 100 if int in field.parts and field.admits(100) and (field.low or 0) < 2 else 1
        default = usual if field.low is None or usual == 100 else field.low
    return f"; for example {default:g}" if isinstance(default, int | float) and field.admits(default) else ""


UNITS = {"s": 1, "min": 60, "h": 3600, "mb": 1, "mib": 1, "gb": 1024, "gib": 1024, "k": 1000}
"""What a unit behind a number stands for, where the option takes seconds, MiB or a plain number."""


def number_advice(value: Any, whole: bool = False, field: Field | None = None) -> str:
    """What to write instead of a text that is no number, or no whole one; empty where nobody can know."""

    def fits(text: Any) -> bool:
        number = decimal(text)
        is_number = isinstance(number, float) and abs(number) < 1e15 and (not whole or number.is_integer())
        return is_number and text != value and (field is None or field.admits(number))

    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"; write {value:.0f}" if whole and fits(f"{value:.0f}") and value == round(value) else ""
    if isinstance(value, list | tuple):
        value = value[0] if len(value) == 1 else ",".join(map(yaml.flow, value))
        if isinstance(value, int | float):
            return f"; write {value}" if fits(str(value)) else ""
    if not isinstance(value, str):
        return ""
    if field and tuple in field.parts and len(parts := value.split()) > 1:
        return f"; write {','.join(parts)}"
    if whole and re.fullmatch("[0-9]+", value) and (field is None or field.admits(int(value))):
        return f"; write {value} without quotes"
    if value.lower() == "none" and (field is None or type(None) in field.parts):
        return "; for none write null"
    if field and field.name == "seeds" and "," in value:
        return f"; write {value.count(',') + 1}, and --set seed={value.partition(',')[0]}"
    number, percent = decimal(value), decimal(value[:-1]) if value.endswith("%") and not whole else None
    amount = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([a-z]+)", value.lower())
    quotient = re.fullmatch(r"([0-9.]+) */ *([0-9]*[1-9][0-9]*)", value)
    meant = [
        f"{number:.0f}" if whole and isinstance(number, float) and number.is_integer() else "",
        value.strip(" ,;.[]()"),
        f"{percent / 100:g}" if isinstance(percent, float) else "",
        f"{float(amount[1]) * UNITS[amount[2]]:.0f}" if amount and amount[2] in UNITS else "",
        f"{float(quotient[1]) / int(quotient[2]):g}" if quotient and decimal(quotient[1]) != quotient[1] else "",
        value.replace(",", "") if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+", value) and whole else "",
    ]
    if text := next(filter(fits, meant), ""):
        return f"; write {text}"
    if not whole and fits(text := value.replace(",", ".")):
        return f"; write {text}, with a decimal point"
    if match := re.fullmatch(r"([0-9.]*[0-9])(?:-|\.\.)([0-9][0-9.]*)", value):
        return f"; a range is written {match[1]}:{match[2]}"
    parts = re.split("[,:]", value)
    if parts[1:] and all(decimal(part) != part for part in parts) and fits(parts[0]):
        several = "several are for a sweep (--over) or a map (--x)"
        several = f"for several seeds: --seeds {len(parts)}" if field and field.name == "seed" else several
        return f"; one number, such as {parts[0]}; {several}"
    return ""


def _list_advice(value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    text = str(value).strip("()[] ")
    if layers := re.fullmatch(r"(\d+) ?[*x×] ?\[?(\d+)", text):  # 128x5: five layers of 128
        count, width = sorted(map(int, layers.groups()))
        if count <= 20 < width:
            return f"; write [{','.join([str(width)] * count)}]"
    parts = re.split(r",\s*" if "," in text else r"(?<=\d)[\s;x*×-]+", text)
    return f"; write [{','.join(parts)}]" if "," in text or all(decimal(part) != part for part in parts) else ""
