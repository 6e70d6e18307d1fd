"""A refused command line: its words, read once, and for each that does not fit what to write in its place."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import dropwhile, takewhile
from typing import Any

from optilab.commands import COMMANDS
from optilab.commands.completion import GROUPS, config_kind, objective, rule, verbs_of
from optilab.errors import ELSEWHERE, OptilabError, Refusals, did_you_mean, shell
from optilab.marks import Argument, ConfigKey, Field, Flag
from optilab.words import listed

USUAL = {
    "fetch": "download get install pull", "show": "get cat info describe log logs print view open",
    "ls": "list status log history", "rm": "delete remove clean prune uninstall", "cp": "copy edit new init",
    "verify": "check grade", "check": "validate test evaluate eval assert", "train": "fit run start",
    "sweep": "search tune grid cluster", "race": "benchmark bench", "report": "dashboard ui html page web",
}  # fmt: skip
"""Commands and parts of groups, and what other tools call them."""
NOT_TAKEN = {
    ("lr", "lr"):
        "lr finds the learning rate, so leave it out",
    ("lr", "range min max from to start end"):
        "the range test raises the rate until the loss grows, so leave it out",
    ("race", "lr"):
        "a race tunes the learning rate of every optimizer, so leave it out",
    ("race", "start"):
        "a race draws its starting points; their number is --starts, as in: --starts 20",
    ("runs ls", "limit last head tail n"):
        "all runs are listed, oldest first; the last ones: optilab runs ls | tail",
    ("runs ls", "rows columns"):
        "each metric is a column of an export: optilab runs export RUN --out rows.csv",
    ("verify", "tolerance"):
        "verify judges itself which differences are rounding, so leave it out",
    ("verify", "reference"):
        "every form is compared with each library that has it, so leave it out",
    ("map", "grid over resolution points"):
        "the number of points belongs to an axis, as in: --x lr=0.01:1:50",
    ("optimize", "list"):
        "the optimizers are listed by: optilab config show optimize algo",
    ("race", "metric"):
        "a race has its own measure, gradients to the minimum or accuracy on the test set, so leave it out",
    ("sweep", "direction mode maximize minimize goal"):
        "optilab knows of each metric whether more is better, so leave it out",
    ("remedy", "list"):
        "the remedies of each finding are in: optilab help diagnosis; to choose some: --only lr,batchnorm",
    ("train", "accuracy target goal"):
        "what a run has to reach is a claim, as in: --expect 'val_acc > 0.8'",
    ("diagnose", "epochs"):
        "a config is diagnosed within its first batches; to train it: optilab train CONFIG --epochs N",
    ("remedy", "exclude skip without"):
        "those to try are named, as in: --only lr,batchnorm,relu",
    ("train", "dry_run"):
        "a config is checked without training by: optilab config check CONFIG",
    ("train", "workers num_workers"):
        "the images are in memory and need no workers, so leave it out",
    ("report", "open show browser"):
        "a browser opens the file that it writes, so leave it out",
    ("play", "open show port host share browser no_browser"):
        "a browser opens the file that it writes, so leave it out",
    ("explain", "code language lang"):
        "explain writes formulas and numbers, as text, Markdown or LaTeX, so leave it out",
}  # fmt: skip
"""Commands with options of others, and why they have none."""
PLACED = {"dataset": "name", "name": "run", "config": "target"}
"""Arguments as they are called elsewhere, and here."""
HELP = ("--", "--help", "-h")
OPTION = re.compile(r"-[^\d.]")
ASSIGNED = re.compile(r"\+*[a-z][\w.]*=\S+")

Repair = tuple[Sequence[str], str]
"""What to write in the place of a token, and what is said of it."""


@dataclass(frozen=True)
class Token:
    """An option with its value, or words that a command takes by place."""

    words: tuple[str, ...]
    option: str = ""
    field: Field | None = None
    """None: the command has no such option."""
    value: str = ""
    extra: tuple[str, ...] = ()
    """The last ones of the words, for which the command has no place."""


@dataclass(frozen=True)
class CommandLine:
    """A command line as its command reads it."""

    path: tuple[str, ...]
    """The command, or a group and its part."""
    verb: Any
    """None: a group without one of its parts."""
    flags: Mapping[str, Field]
    """The options of the command, by each of their names."""
    places: Mapping[str, Field]
    """What it takes by place, by its name in the usage line."""
    tokens: Sequence[Token]

    def typed(self, option: str = "") -> list[str]:
        """The values of an option, or what is typed by place."""
        found = [(one.value,) if option else one.words for one in self.tokens if one.option == option]
        return [word for words in found for word in words]

    def takes(self, option: str, word: str, free: int) -> bool:
        """Whether an option has the next word as its value; an unknown one, unless it is what the command, which has
        `free` places, takes by place."""
        from optilab import runs

        if option in (*self.flags, *HELP) or OPTION.match(word):
            return option in self.flags and bool not in self.flags[option].parts
        near = (self.flags[flag] for flag in self.near(option)[0])
        named = bool(line_for([word])) or (runs.root(None) / word).exists()
        return not (free and named) or bool(self.keys(option)) or any(bool not in one.parts for one in near)

    def repairs(self) -> list[tuple[Token, Repair | None]]:
        """Each token, with what to write in its place where it does not fit."""
        return [(one, self.repair(one)) for one in self.tokens]

    def mended(self) -> list[str]:
        """The words behind the command, each token repaired."""
        return [word for one, repair in self.repairs() for word in (repair[0] if repair else one.words)]

    def needs(self) -> str:
        """What is said of arguments that are missing."""
        missing = [name for name, one in self.places.items() if one.obligatory][len(self.typed()) :]
        typed, mended = self.typed(), self.mended()
        apart = re.split(r"\.\.+|[,:]", typed[0]) if len(typed) == 1 else []  # as git has them
        if len(apart) == len(self.places) > 1:
            mended = [part for word in mended for part in (apart if [word] == typed else [word])]
        return f"{self} needs {' and '.join(missing)}, as in: {proposed([*self.path, *mended])}"

    def repair(self, token: Token) -> Repair | None:
        option, extra, one = token.option, " ".join(token.extra), token.field
        if option not in ("", *self.flags, *HELP):
            words, said = self.other_option(token, ",".join(filter(None, [token.value, *token.extra])))
            return words, f"No such option: {option}; {said}"
        if extra:
            words, said = self.other_place(token, token.words[: -len(token.extra)])
            return words, f"too many arguments: {extra}; {said}".replace("\n", r"\x0a")
        if one is None or (bool in one.parts and token.words == (option,)):
            return None
        if bool in one.parts:
            return [option], f"{option} takes no value; write {option}"
        if token.words == (option,):
            return [], f"{option} needs a value: {option} {one.metavar}"
        return self.once(token)

    def once(self, token: Token) -> Repair | None:
        """What to write instead of options for a list, or for axes, that are typed twice; None where none is."""
        option, values = token.option, [*dict.fromkeys(self.typed(token.option))]
        other = {"--x": "--y", "--y": "--x"}.get(option, "")
        several = re.search(r",(\.\.\.|NAME)", getattr(self.flags[option].mark(Flag), "metavar", ""))
        if self.flags[option].repeated or not (values[1:] and (several or (other and token.value != values[0]))):
            return None
        words = [option, ",".join(values)] if several else [other, token.value] * (not self.typed(other))
        instead = f"write {shlex.join(words)}" if words else "leave one out"
        return words, f"{option} is given twice: {' and '.join(values)}; {instead}"

    def other_option(self, token: Token, value: str) -> Repair:
        """What is meant by an unknown option: an argument, a key of the config, an option here or of other commands."""
        option, name = token.option, token.option.lstrip("-").replace("-", "_")
        key = ELSEWHERE.get(name, name)
        for (command, known_elsewhere), why in NOT_TAKEN.items():
            if command == str(self) and {name, key} & {*known_elsewhere.split()}:
                return [], why
        if name == "all" and any(one.mark(Flag).complete == "run" for one in self.places.values()):
            return ["*"], f"all runs are '*': {shell(*self.path, '*')}"
        if self.path == ("explain",) and key in ("epochs", "epoch"):
            step = re.sub(r"\.\.+|:", "-", value)
            if self.typed("--step"):
                return [], "explain works out single steps, so leave it out"
            return ["--step", step] * bool(value), f"explain works out single steps; write --step {step or 5}"
        if "--set" in self.flags and len(option) == 2 and ASSIGNED.match(value):  # as hydra has them
            words = self.assigned([value])
            return words, f"write {shlex.join(words)}"
        if name.removesuffix("s") == "optimizer" and "--algo" in self.flags and value:
            return ["--algo", value], f"write --algo {value}"
        places = {part for place in self.places for part in place.lower().split("|")}
        names = {name, name.removesuffix("s"), PLACED.get(name)} & places
        if names and (value or self.typed()):
            line = [word for one in self.tokens for word in ([value] * bool(value) if one is token else one.words)]
            return [value] * bool(value), f"write: {shell(*self.path, *line)}"
        if repair := self.setting(name, value):
            return repair
        near, said = self.near(option)
        alike = get_close_matches(option.strip("-"), [flag.strip("-") for flag in near], cutoff=0.8)
        if near and (alike or not value or near[1:] or self.fits(near[0], value)):
            words = near[:1] if bool in self.flags[near[0]].parts else [near[0], value] if value else []
            return words * (len(near) == 1), said
        lines = [read((name, part) if part else (name,)) for name in COMMANDS for part in verbs_of(name)]
        if having := [" ".join(line.path) for line in lines if option in line.flags]:
            others = [f"{len(having) - 3} others"] if len(having) > 4 else having[3:]
            same, instead = self.same_as(option, value)
            return same, f"it is an option of {listed([*having[:3], *others])}, not of {self}: {instead}"
        if did_you_mean(option, ["--version"]):
            return [], "write: optilab --version"
        from optilab.study.listing import RESULTS

        if "--out" in self.flags and re.search(r"\w\.[a-z]+$", value) and self.fits("--out", value):
            return ["--out", value], f"write --out {value}"
        words = ["--device", "cuda"] * (name in ("gpu", "gpus", "cuda") and "--device" in self.flags)
        words = ["--where", f"{key}={value}"] if value and "--where" in self.flags and key in RESULTS else words
        if words:
            return words, f"write {shlex.join(words)}"
        return [], f"leave it out: optilab {self} --help lists its options"

    def __str__(self) -> str:
        return " ".join(self.path)

    def same_as(self, option: str, value: str) -> Repair:
        """What does here the same as an option of other commands."""
        if option == "--over" and self.path == ("train",):
            words = [word for one in self.tokens for word in one.words]
            return [], f"write: {proposed(['sweep', *words])}"
        if option == "--out":
            return [], f"write what it prints to a file with {'--format csv ' * ('--format' in self.flags)}> FILE"
        out = self.flags["--out"].doc if "--out" in self.flags else ""
        words = ["--out", f"rows.{value if value and f'.{value}' in out else 'csv'}"] * (".csv" in out)
        words = ["--json"] if value == "json" and "--json" in self.flags else words
        return (words, f"write {' '.join(words)}") if words and option == "--format" else ([], "leave it out")

    def near(self, option: str) -> tuple[list[str], str]:
        """The options that are meant, and `did you mean "--start"?`."""
        flags = [flag for flag in self.flags if flag[:2] == "--"]
        letter = [flag for flag in flags if option[1:] == flag[2:3]]
        said = did_you_mean(option, flags).removeprefix("; ")
        if 0 < len(letter) < 4:
            return letter, f"did you mean {' or '.join(letter)}?"
        return [flag for flag in flags if f'"{flag}"' in said], said

    def fits(self, option: str, value: str) -> bool:
        """Whether an option may have a value, as far as it says so itself."""
        from optilab.commands.verb import misfit

        one = self.flags[option]
        if key := one.mark(ConfigKey):
            return not self.wrong(key.key, value)
        endings = re.findall(r"\.[a-z]{2,}\b", one.doc) if getattr(one.mark(Flag), "path", False) else []
        return value.endswith(tuple(endings)) if endings else bool in one.parts or not misfit(one, value, True)

    def assigned(self, words: Sequence[str]) -> list[str]:
        """`--set KEY=VALUE` for each word, or `--over` where it is an axis."""
        pairs = [word.lstrip("+").partition("=") for word in words]
        values = [re.sub(r"^choice\((.*)\)$", r"\1", value) for *_, value in pairs]
        texts = [
            f"{next(iter(self.keys(key)), key)}={value}" for (key, *_), value in zip(pairs, values, strict=True)
        ]
        axis = "--over" in self.flags and re.search("[,:]", words[0])
        return [word for text in texts for word in ("--over" if axis else "--set", text)]

    def keys(self, name: str) -> list[str]:
        """The keys that `--set` takes, which end with a name, or with what other tools call so."""
        from optilab.config.fields import named
        from optilab.config.section import schema_for

        on_functions = self.path[0] == "race" and not any(map(self.typed, ("--on", "--resume", "--study")))
        if "--set" not in self.flags or on_functions:
            return []
        keys = named(schema_for(config_kind(self.path[0])), name.lstrip("-").replace("-", "_"))
        return [name] if name in keys else [key for key in keys if key.count(".") < 2][:3]

    def setting(self, name: str, value: str) -> Repair | None:
        """The key of the config, or the optimizer, that is meant by an option."""
        from optilab.config.unknown_keys import widths
        from optilab.optimize import RULES

        value = widths(name, value) or value
        wrong = {key: self.wrong(key, value) for key in self.keys(name)}
        known = self.typed() or self.typed("--config") or self.rules()  # which optimizer has the setting
        another = not known or all("no setting" in why for why in wrong.values())
        if another and name in RULES and self.keys("epochs"):
            flag = next((flag for flag in ("--algo", "--optimizer") if flag in self.flags), "--set")
            section = "algo" if flag == "--algo" else "optimizer"
            words = [flag, name if flag != "--set" else f"{section}={name}"]
            words += ["--set", f"{section}.beta={value}"] * (value != "" and hasattr(RULES[name], "beta"))
            said = f"{name} is another optimizer: write {shlex.join(words)}"
            return ([], f"{said} instead of {listed(self.rules())}") if self.rules() else (words, said)
        ways = list[list[str]]()
        for key, why in wrong.items():
            flag = f"--{key.rpartition('.')[2].replace('_', '-')}"
            if right := re.search(r"; (?:write|for example) (\S.*)$", why or f"; write {value or 'VALUE'}"):
                ways.append([flag, right[1]] if flag in self.flags else ["--set", f"{key}={right[1]}"])
        if name == "betas" and value.count(",") == 1:
            pair = [self.setting("beta1", value.split(",")[0]), self.setting("beta2", value.split(",")[1])]
            ways = [[word for repair in pair if repair for word in repair[0]]]
        if any(ways):
            return ways[0] if value else [], f"write {' or '.join(map(shlex.join, ways))}"
        reasons = [why if "no setting" in why else f"it is --set {key}=VALUE: {why}" for key, why in wrong.items()]
        return ([], reasons[0]) if reasons else None

    def rules(self) -> list[str]:
        """The optimizers that are typed."""
        typed = [*self.typed("--optimizer"), *self.typed("--algo"), *(self.typed() if self.verb.place else [])]
        return [name for word in typed for name in word.lower().split(",") if name in rule("")]

    def wrong(self, key: str, text: str) -> str:
        """Why `--set KEY=TEXT` would be refused with the config of this line, or every text where there is none."""
        from optilab.config.section import schema_for
        from optilab.config.load import BASES, load
        from optilab.config.tree import override
        from optilab.config.presets import lookup

        kind, rules = config_kind(self.path[0]), self.rules()
        base = BASES[kind]
        typed = [*self.typed("--config"), *self.typed()]
        files = (word for word in typed if lookup(kind, word) or (word.endswith(".yaml") and os.path.isfile(word)))
        config = next(files, base)
        if config is base and self.path[0] in ("diagnose", "check"):  # where a run may stand
            return "only a config has settings; leave it out"
        if config is base and key.partition(".")[0] in base and not rules:
            return ""
        chosen = (
            [override("", section, f"[{','.join(rules)}]" if rules[1:] else rules[0]) for section in base]
            if rules
            else []
        )
        chosen += [override("", "function", word) for word in self.typed("--function")[:1] if key != "function"]
        try:
            load(schema_for(kind), config, [*chosen, override("--set", key, text or "0.5")])
        except OptilabError as error:
            why = [one.message for one in getattr(error, "problems", ()) if one.where.startswith("--set")]
            return why[0] if why and (text or "no setting" in why[0]) else ""
        return ""

    def other_place(self, token: Token, own: Sequence[str]) -> Repair:
        """Where the last words of a token belong, or what the command takes; `own` are those before them."""
        option, extra, first = token.option, token.extra, token.extra[0]
        if token.value and (text := in_one(option, token.value, extra)):
            return [option, text], f"write {option} {shlex.quote(text)}{', in quotes' * (' ' in text)}"
        if "--set" in self.flags and all(map(ASSIGNED.fullmatch, extra)):
            words = self.assigned(extra)
            return [*own, *words], f"write {shlex.join(words)}"
        if self.path == ("explain",) and re.fullmatch(r"\d+([-,]\d+)*", first):
            return [*own, "--step", first], f"write --step {first}"
        if token.field and bool in token.field.parts:
            seeds = ["--seeds", first] * (option == "--confirm" and first.isdecimal())
            words = [option, *seeds]
            return words, f"{option} takes no value{f'; write {shlex.join(words)}' if seeds else ''}"
        if first in rule("") and token.value.split(",")[0] in rule("") and option in ("", "--algo"):
            text = ",".join([token.value.rstrip(","), *extra])
            return [*own[:-1], text], f"optimizers are separated by commas: {text}"
        kinds = {"--algo": first.split(",")[0] in rule(""), "--function": first in objective("")}
        kinds["--config"] = first.endswith((".yaml", ".yml")) and self.verb.place is not None
        if flag := next((flag for flag, fits in kinds.items() if fits and flag in self.flags), ""):
            return [*own, flag, first], f"write {flag} {first}"
        takes = " and ".join(self.places) or "no arguments"
        return own, f"optilab {self} takes {takes}; leave out {' '.join(extra)}"


def read(words: Sequence[str]) -> CommandLine:
    """The line of the words behind `optilab`. Pieces of a value, and words without a place, belong to the option before
    them."""
    path = tuple(words[: 1 + (words[0] in GROUPS)])
    verb: Any = verbs_of(path[0]).get("".join(path[1:]))
    fields = sorted(verb.options.values(), key=lambda one: one.group == "Output") if verb else []
    names = [(one, "/".join((one.mark(Flag) or Flag()).names or (one.flag,))) for one in fields]
    arguments = [one for one in fields if one.mark(Argument)] or [one for one in fields if one is verb.place]
    named = [(one.mark(Flag).metavar or one.name, one) for one in arguments]
    places = {re.sub(r"^\[(.*)\]$", r"\1", name).upper().rstrip("."): one for name, one in named}
    flags = {flag: one for one, own in names for flag in own.split("/") if flag[0] == "-"}
    rest, found = [*words[len(path) :]], list[Token]()
    line = CommandLine(path, verb, flags, places, found)
    number = r"-.|[\d.]*\d[\d.]*$" if verb and verb.place else "-."  # which is the name of no optimizer
    free = len(rest) if any(one.repeated for one in arguments) else len(arguments)
    while rest:
        own, option, value = list[str](), "", ""
        if OPTION.match(rest[0]):
            letters = [f"-{letter}" for letter in rest[0][1:]]
            rest[:1] = letters if {*letters} <= {*flags, *HELP} else rest[:1]
            own = [rest.pop(0)]
            option, equals, value = own[0].partition("=")
            if rest and not equals and line.takes(option, rest[0], free):
                own.append(value := rest.pop(0))
        run = [*takewhile(lambda word: not OPTION.match(word), rest)]
        del rest[: len(run)]
        fitting = len([*takewhile(lambda word: not re.match(number, word), run[:free])])
        fitting *= not (run[fitting:] and value and in_one(option, value, run))
        extra, free = tuple(run[fitting:]), free - fitting
        if own:
            behind = () if fitting else extra
            found.append(Token((*own, *behind), option, line.flags.get(option), value, behind))
        if fitting or (run and not own):
            found.append(Token(tuple(run), value=run[0] if fitting else "", extra=extra))
    return line


def in_one(option: str, first: str, extra: Sequence[str]) -> str:
    """The value of an option that was typed as several words; empty where they are no such value."""
    text = " ".join([first, *extra])
    if option == "--set" and (match := re.match(r"[^\[{ ]*[\[{][^\]}]* [^\]}]*[\]}]", text)):
        return match[0]
    if option == "--over" and "=" in first and all(re.fullmatch(r"[\d.]+(e[-+]?\d+)?,?", word) for word in extra):
        return ",".join(word.strip(",") for word in (first, *extra))
    if option in ("--over", "--set") and "=" not in first:
        values = [word.lstrip("=") for word in extra if word != "="]
        return f"{first.rstrip(':')}={','.join(values if option == '--over' else values[:1])}"
    if option == "--start" or (option in ("--over", "--algo", "--on", "--only") and ", " in text):
        return ",".join(word.strip(",[]()") for word in (first, *extra))
    return text if option in ("--function", "--expect") else ""


def proposed(words: Sequence[str]) -> str:
    """The line to type instead: each token repaired, what the command needs as in its first example, and below it what
    is wrong with the names of runs."""
    from optilab import runs

    line = read(words)
    if {"-h", "--help"} & {*words} or not line.verb:
        return shell(*words)
    lost = [one for one, repair in line.repairs() if repair and one.option and not repair[0]]
    absent = [one.option for one in lost if one.field is None]
    notes = [f"it has no {listed(absent)}"] if absent else []
    notes += [f"{one.option} needs a value" for one in lost if one.field]
    line = read([*line.path, *(kept := line.mended())])
    placed, found = line.typed(), Refusals()
    examples = [shlex.split(example)[1 + len(line.path) :] for example in line.verb.requests[0].EXAMPLES]
    usual = {next((word for word in example if word[:2] == "--"), "") for example in examples}
    if len(placed) < sum(one.obligatory for one in line.places.values()) or not kept:
        own = [*takewhile(lambda word: word[:1] != "-", examples[0])][len(placed) :]
        kept = [*placed, *own, *(word for one in line.tokens if one.option for word in one.words)]
    if placed and any(one.mark(Flag).complete == "run" for one in line.places.values()):
        found(runs.select, runs.root(next(iter(line.typed("--runs-dir")), None)), placed)
    given = {"", *(one.option for one in line.tokens if one.option)}
    if not ({*given, "--algo"} if placed else given) & usual:
        kept += dropwhile(lambda word: word[:2] != "--", examples[0])  # no example goes without
    without = f" ({', '.join(notes)})" if notes else ""
    return "\n".join([shell(*line.path, *kept) + without, *map(str, found)])


def other_command(path: Sequence[str], words: Sequence[str], names: Sequence[str]) -> str:
    """What to type where the first of the `words` behind `path` is none of the `names` of commands or parts."""
    name, *rest = words
    rest = ["sigmoid.yaml", *rest] if name in ("new", "init") and len(rest) == 1 else rest
    if OPTION.match(name):
        if name in ("-V", "-v"):
            return "; write: optilab --version"
        if at := next((n for n, word in enumerate(words) if word in names), 0):
            return f"; options stand after the command: {proposed([*path, *words[at:], *words[:at]])}"
        having = [one for one in names if path and name.partition("=")[0] in read([*path, one]).flags]
        if 0 < len(having) < 4:
            return f"; it is an option of {listed(having, 'or')}: {proposed([*path, having[0], *words])}"
        return f"; options stand after the command, which is one of {', '.join(names)}"
    if name in ("rename", "mv") and "ls" in names:
        return ": a run keeps its name; choose it with --name when it starts, or rename its directory"
    if name == "version" or (name == "help" and path):
        return f"; write: {shell(*(path if name == 'help' else ()), f'--{name}')}"
    usual = [here for here, others in USUAL.items() if name in others.split()]
    own = [[*path, one, *rest] for one in usual[:: 1 if rest else -1] if one in names]
    elsewhere = [*words] * (name in COMMANDS) if path else line_for([*(usual[-1:] or [name]), *rest])
    if line := own[0] if own else elsewhere:
        return f"; write: {proposed(line)}"
    if not path and name.endswith((".yaml", ".yml")):
        return ", and no file or preset either; `optilab config ls` lists the presets"
    return did_you_mean(name, names) or f"; one of {', '.join(names)}"


def line_for(words: Sequence[str]) -> list[str]:
    """The words, behind the command that was left out before an optimizer, a file, a preset or a part of a group; empty
    where the first is none of these."""
    from optilab.config.load import command_of
    from optilab.config.presets import KINDS, lookup
    from optilab.optimize.own import is_own

    word = words[0]
    if is_own(word):
        return ["verify", *words, *["--against", "adam"] * ("--against" not in words)]
    if word.split(",")[0].lower() in rule(""):
        return ["optimize", *words]
    if word in objective(""):
        return ["optimize", "--algo", "adam", "--function", *words]
    if word.endswith((".yaml", ".yml")) and os.path.isfile(word):
        with suppress(OptilabError):
            return [command_of(word), *words]
        return ["config", "check", word]
    groups = [name for name in GROUPS if word in import_module(f"optilab.commands.{name}").VERBS]
    kinds = [*groups, *(kind for kind in KINDS if lookup(kind, word))]
    return [kinds[0], *words] if kinds else []
