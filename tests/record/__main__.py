# ruff: noqa: E501, SIM115
"""What optilab printed and wrote at one commit, command by command, to be compared with what it does now.

    python -m tests.record store                     with the code whose behaviour is the reference
    python -m tests.record compare [--only REGEX]    a unified diff per command that differs, and a count

Everything is kept in RECORD (/work/record by default): the outputs, the runs that the reference made (which newer code
has to read), and the refusals that were taken from the tests. Each group of commands runs in a process of its own, forked
from one that has imported the libraries but nothing of optilab; a terminal's commands get a process each.
"""

import argparse
import ast
import base64
import collections
import contextlib
import difflib
import fcntl
import gzip
import hashlib
import importlib
import io
import json
import os
import pickle
import pty
import re
import shlex
import shutil
import struct
import sys
import tarfile
import termios
import time
import traceback
from pathlib import Path

RECORD = Path(os.environ.get("RECORD", "/work/record"))
PLACE = Path("/tmp/optilab-record")  # one of a few of the same length, so that texts wrap at the same word
if __name__ == "__main__":
    for letter in "d1234567":
        PLACE = Path(f"/tmp/optilab-recor{letter}")
        PLACE.mkdir(exist_ok=True)
        LOCK = (PLACE / "lock").open("w")
        try:
            fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            continue
ROOT = Path(__file__).parents[2]
LIBRARIES = [
    "numpy",
    "torch",
    "torch._dynamo",
    "pydantic",
    "yaml",
    "rich.console",
    "rich.table",
    "rich.progress",
    "rich.live",
    "typer",
    "jinja2",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "annotated_doc",
    "multiprocessing.forkserver",
    "concurrent.futures",
    "sqlite3",
    "platformdirs",
    "html.parser",
    "PIL.Image",
]
CLEAN = {
    "OMP_NUM_THREADS": "1",
    "XDG_CACHE_HOME": str(PLACE / "cache"),
    "HOME": str(PLACE / "home"),
    "PYTHONPATH": str(ROOT),
    "PATH": os.environ["PATH"],
    "LANG": "C.UTF-8",
}
HARD = "\n!! "

# --- what varies -------------------------------------------------------------------------------------------

VARYING = [
    (re.compile(r"/tmp/optilab-recor[d1-7]"), "<tmp>"),
    (re.compile(re.escape(str(ROOT))), "<root>"),
    (re.compile(r"\b20\d{6}-\d{6}-([\w.-]+?)-[0-9a-f]{8}\b"), r"YYYYMMDD-HHMMSS-\1-xxxxxxxx"),
    (re.compile(r"\b20\d\d-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?"), r"YYYY-MM-DD\1HH:MM:SS"),
    (re.compile(r"(?<![\w.])\d+\.\d\ds\b"), "#s"),
    (re.compile(r"\bin \d+:\d\d(:\d\d)?, [\d.,]+ (s/epoch|epochs/s)"), "in #, # per epoch"),
    (re.compile(r", about \d+:\d\d(:\d\d)? left$", re.MULTILINE), ""),
    (re.compile(r"\b(about|in) \d+:\d\d(:\d\d)?\b"), r"\1 #"),
    (re.compile(r"[\d.]+ s per epoch"), "# s per epoch"),
    (re.compile(r"[\d.]+ (ms|s|us) per (path|step|epoch)"), "# per"),
    (
        re.compile(
            r'"(seconds\w*|\w+_seconds|created|finished|started|pid|wall|per_epoch|speed)": (-?[\d.e+-]+|"[^"]*")'
        ),
        r'"\1": #',
    ),
    (re.compile(r"\b\d+(\.\d+)? (seconds|s)\b(?! of )"), "# s"),
    (re.compile(r'time(stamp)?="[^"]*"'), "time=#"),
    (re.compile(r"(?<=  )\d:\d\d(?= |$)", re.MULTILINE), "#:##"),
    (re.compile(r'("sharpness": \d+\.\d{11})\d+'), r"\1"),  # the last digits depend on where arrays lie
    (re.compile(r"\.new-[0-9a-f]{16}"), ".new-x"),
    (re.compile(r"tfevents[\w.]*"), "tfevents"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-\d+"), "worker"),
    (re.compile(r"(HH:MM:SS)\.\d+"), r"\1"),
]


def normal(text: str) -> str:
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    return text


def readable(text: str) -> str:
    """A document in lines, for the diff: JSON with indents (its form is noted), HTML and data cut at their joints."""
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            data = json.loads(stripped)
        except ValueError:
            data = None
        if data is not None:
            form = "one line" if "\n" not in stripped else "indented"
            return f"JSON, {form}\n{json.dumps(data, indent=1, ensure_ascii=False)}\n"
    if len(text) > 2000 and max(map(len, text.splitlines()), default=0) > 400:
        text = re.sub(r"(base64,)([A-Za-z0-9+/=]{200,})", lambda m: m[1] + digest(m[2].encode()), text)
        text = re.sub(r'(>)(<)|(\],)(?=\[)|(,)(?=\s*")|([;{}])', lambda m: "\n".join(filter(None, m.groups())) + "\n"
                      if not m[1] else ">\n<", text)  # fmt: skip
    return text


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def content(path: Path) -> str:
    """A written file as text."""
    data = path.read_bytes()
    kind = path.suffix.lower()
    if kind == ".png":
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return f"png {image.size[0]} x {image.size[1]}, pixels {digest(image.convert('RGBA').tobytes())}"
    if kind == ".gif":
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return f"gif {image.size[0]} x {image.size[1]}, {getattr(image, 'n_frames', 1)} frames"
    if kind == ".sqlite":
        import sqlite3

        with contextlib.closing(sqlite3.connect(path)) as base:
            return normal("\n".join(base.iterdump()))
    if kind == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        return normal(f"{table.schema.to_string(show_schema_metadata=False)}\n{table.to_pylist()}")
    if kind in (".ckpt", ".pdf", ".lock", ".mp4", ".db") or "tfevents" in path.name:
        return f"{kind} {'empty' if not data else 'there'}"  # the name of a checkpoint is its content
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"{len(data)} bytes {digest(data)}"
    if kind == ".svg":
        text = re.sub(r"<dc:date>.*?</dc:date>|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        names: dict[str, str] = {}
        text = re.sub(r"\b[pm][0-9a-f]{10}\b", lambda m: names.setdefault(m[0], f"id{len(names)}"), text)
        return f"svg {digest(text.encode())}, {len(text)} characters"
    if path.name == "timings.csv":
        text = re.sub(r",[\d.e-]+$", ",#", text, flags=re.MULTILINE)
    if kind == ".csv" and text.partition("\n")[0].endswith(",seconds"):
        text = re.sub(r",\d{1,4}\.\d{3,7}$", ",#", text, flags=re.MULTILINE)
    return readable(normal(text))


# --- running -----------------------------------------------------------------------------------------------


def seen(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            found[str(path.relative_to(folder))] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def changes(folder: Path, before: dict, known: dict[str, str]) -> list[tuple[str, str]]:
    """The files that a command wrote, changed or deleted."""
    after = seen(folder)
    found = [(f"deleted {normal(name)}", "") for name in before if name not in after]
    for name in after:
        if after[name] != before.get(name):
            text = content(folder / name)
            if known.get(name) != text and not name.startswith("."):
                known[name] = text
                found.append((f"file {normal(name)}", text))
    return sorted(found)


def text_of(code: object, out: str, err: str, files: list[tuple[str, str]]) -> str:
    parts = [normal(f"exit {code}"), f"{HARD}stdout", readable(normal(out)), f"{HARD}stderr", normal(err)]
    for name, text in files:
        parts += [f"{HARD}{name}", text]
    return "\n".join(parts)


def in_process(line: str, folder: Path) -> tuple[object, str, str]:
    from tests.run import run

    words = shlex.split(line)
    extra = {}
    while "=" in words[0]:
        key, _, value = words.pop(0).partition("=")
        extra[key] = value.replace(" ", "\n") if key == "COMP_WORDS" else value
    if words[0] == "python":
        return python(line.partition("python ")[2], folder)
    done = run(words[1:], folder, {**CLEAN, "COLUMNS": "100", **extra})
    return done.returncode, done.stdout, done.stderr


def python(source: str, folder: Path) -> tuple[object, str, str]:
    """Lines of Python, each last expression shown as a notebook shows it; `show` describes a result of the library."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    space = {"show": describe, "__name__": "__main__"}
    keep = dict(os.environ)
    os.environ.clear()
    os.environ.update(CLEAN, COLUMNS="100")
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            tree = ast.parse(source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            file = folder / f"cell{time.monotonic_ns()}.py"  # inspect.getsource looks for it
            exec(compile(tree, str(file), "exec"), space)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), str(file), "eval"), space)
                if value is not None:
                    print(readable(repr(value)))
    except BaseException as error:
        code = f"{type(error).__module__}.{type(error).__name__}: {error} {getattr(error, '__notes__', '')}"
    finally:
        os.environ.clear()
        os.environ.update(keep)
    return code, out.getvalue(), err.getvalue()


def describe(result: object) -> None:
    """Everything that a result of `Lab` shows."""
    print("repr:", repr(result))
    print("str:", result)
    print("public:", [name for name in dir(result) if not name.startswith("_")])
    print("rows:", readable(json.dumps(result.rows, default=repr)))
    for name in ("headline", "verdict", "best", "state", "name", "may_be_best", "equal", "explanation"):
        if hasattr(result, name):
            print(f"{name}:", getattr(result, name))
    html = result._repr_html_()
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    from PIL import Image

    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            sized = f"picture {image.size}, {digest(image.convert('RGBA').tobytes())}"
        html = html.replace(picture, sized)
    print("html:", html.replace("><", ">\n<"))
    print("frame:", list(result.frame().columns), len(result.frame()))


def on_terminal(line: str, columns: int, folder: Path) -> tuple[object, str, str]:
    """A command whose stdout is a terminal; its stderr is a pipe, for a bar's frames depend on the clock."""
    reading, writing = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.dup2(writing, 2)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
            os.environ.clear()
            os.environ.update(CLEAN, TERM="xterm-256color", COLORTERM="truecolor")
            os.chdir(folder)
            sys.stdin, sys.stdout = (open(n, mode, encoding="utf-8") for n, mode in ((0, "r"), (1, "w")))
            sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace")
            sys.argv = shlex.split(line)
            importlib.import_module("optilab.__main__").main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 99
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    os.close(writing)
    out, err = bytearray(), bytearray()
    import selectors

    with selectors.DefaultSelector() as waiting:
        waiting.register(terminal, selectors.EVENT_READ, out)
        waiting.register(reading, selectors.EVENT_READ, err)
        while waiting.get_map():
            for key, _ in waiting.select():
                try:
                    data = os.read(key.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    waiting.unregister(key.fd)
                key.data.extend(data)
    os.close(terminal)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), out.decode().replace("\r\n", "\n"), err.decode()


def forked(call) -> object:
    """What `call` returns in a child process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            answer = pickle.dumps(call())
            with open(writing, "wb") as file:
                file.write(answer)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    with open(reading, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else {}


def fresh(name: str, files: dict[str, object], old: bool) -> Path:
    """An empty folder with these files, and with the runs of the reference."""
    folder = PLACE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        data = base64.b64decode(text["b64"]) if isinstance(text, dict) else str(text).encode()
        target.write_bytes(data)
    if old:
        with tarfile.open(RECORD / "old.tar.gz") as archive:
            archive.extractall(folder, filter="fully_trusted")
    return folder


def group(name: str, lines: list[str], files: dict[str, object], old: bool, columns: int) -> dict[str, str]:
    from tests.record import commands

    folder, found, times = fresh(name, files, old), {}, {}
    before, known = seen(folder), {}
    for line in lines:
        start = time.process_time(), time.perf_counter()
        try:
            done = on_terminal(line, columns, folder) if columns else in_process(line, folder)
        except BaseException as error:
            done = 99, "", f"the recorder: {type(error).__name__}: {error}"
        key = f"{name}: {line.removeprefix('python ').removeprefix(commands.LAB_HEAD)}".replace("\n", "; ")[:240]
        while key in found:
            key += " (again)"
        found[key] = text_of(*done, [] if columns and "map" not in line else changes(folder, before, known))
        before = seen(folder)
        times[key] = round(time.process_time() - start[0], 2), round(time.perf_counter() - start[1], 2)
    return {"found": found, "times": times}


def refusals() -> dict:
    """Command lines of the tests, most of them refused, each with the files that it found."""
    from tests.data.idx import write_idx_dataset
    from tests.run import run

    small = write_idx_dataset(PLACE / "small")
    (small / "small.yaml").write_text(
        f"model: {{hidden: [16, 16]}}\ndata: {{dataset: idx, dir: {small}, batch_size: 32}}\n"
        "optimizer: {name: sgd, lr: 0.1}\nepochs: 3\nthreads: 1\ndevice: cpu\n"
    )
    found, times, folder = {}, {}, PLACE / "r"
    text = gzip.decompress((RECORD / "refusals.json.gz").read_bytes()).decode()
    for case in json.loads(text.replace("{cwd}", str(folder)).replace("{small}", str(small))):
        start = time.process_time(), time.perf_counter()
        fresh("r", case["files"], False)
        before, words = seen(folder), case["args"]
        try:
            done = run(words, folder, {**CLEAN, "COLUMNS": "100", **case["env"]})
            done = done.returncode, done.stdout, done.stderr
        except BaseException as error:
            done = 99, "", f"the recorder: {type(error).__name__}: {error}"
        key = f"refusals: {' '.join(['optilab', *words])[:300]}".replace("\n", " ").replace(
            str(PLACE), "/tmp/optilab-record"
        )
        while key in found:
            key += " (again)"
        found[key] = text_of(*done, changes(folder, before, {}))
        times[key] = round(time.process_time() - start[0], 2), round(time.perf_counter() - start[1], 2)
    return {"found": found, "times": times}


def options(text: str) -> str:
    """Of a help screen: every option with its metavar and what its help has in brackets."""
    body = text.partition("Options:\n")[2].partition("\n\n")[0]
    rows, now = [], ""
    for line in body.splitlines():
        if re.match(r"  -", line):
            rows.append(now)
            now = line
        else:
            now += " " + line.strip()
    rows.append(now)
    found = []
    for row in filter(None, rows):
        head, _, help_ = row.strip().partition("  ")
        found.append(" ".join([head, *re.findall(r"\[[^\]]*\]", re.sub(r"\s+", " ", help_))]))
    return "\n".join(found)


def helps() -> dict:
    """The help of every command and its options; commands are found by their parents' lists."""
    found, waiting, times = {}, [""], {}
    folder = fresh("help", {}, False)
    while waiting:
        name = waiting.pop(0)
        code, out, err = in_process(f"optilab {name} --help", folder)
        found[f"help: {name}"] = text_of(code, out, err, [])
        found[f"help options: {name}"] = options(out)
        listed = out.partition("Commands:\n")[2].partition("\n\n")[0]
        waiting += [f"{name} {command}".strip() for command in re.findall(r"^  (\w+)  ", listed, flags=re.M)]
    return {"found": found, "times": times}


def run_all(only: re.Pattern[str]) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    for name in LIBRARIES:
        importlib.import_module(name)
    from tests.record import commands

    for name in ("home", "cache/optilab/fashion-mnist"):
        (PLACE / name).mkdir(parents=True, exist_ok=True)
    images = Path.home() / ".cache/optilab/fashion-mnist"
    for path in images.iterdir():
        target = PLACE / "cache/optilab/fashion-mnist" / path.name
        if not target.exists():
            os.link(path, target)
    calls = {"help": helps, "refusals": refusals}
    for one in commands.GROUPS:
        calls[one.name] = lambda one=one: group(one.name, one.lines, one.files, one.old, one.columns)
    found, times = {}, {}
    for name, call in calls.items():
        if only.search(name):
            shutil.rmtree(PLACE / "cache/optilab/races", ignore_errors=True)
            start = time.perf_counter()
            answer = call() if name.startswith("terminal") else forked(call)
            found |= answer.get("found", {f"{name}: the group failed": ""})
            times |= answer.get("times", {})
            print(f"{name}: {len(answer.get('found', {}))} commands, {time.perf_counter() - start:.1f} s",
                  file=sys.stderr)  # fmt: skip
            if name == "make" and not (RECORD / "old.tar.gz").exists():
                with tarfile.open(RECORD / "old.tar.gz", "w:gz") as archive:
                    for path in sorted((PLACE / "make").iterdir()):
                        archive.add(path, path.name)
    return found, times


# --- comparing ---------------------------------------------------------------------------------------------


def deref(node: object, root: dict, inside: tuple[str, ...] = ()) -> object:
    """A JSON Schema without references, descriptions and defaults, in one order."""
    if isinstance(node, list):
        return [deref(item, root, inside) for item in node]
    if not isinstance(node, dict):
        return node
    if (reference := node.get("$ref")) is not None:
        if reference in inside:
            return {"again": reference}
        target = root
        for part in reference.split("/")[1:]:
            target = target[part]
        node, inside = {**target, **{k: v for k, v in node.items() if k != "$ref"}}, (*inside, reference)
    left_out = ("$defs", "title", "description", "default", "$schema", "$id")
    found = {
        key: {name: deref(item, root, inside) for name, item in value.items()}
        if key == "properties"
        else deref(value, root, inside)
        for key, value in node.items()
        if key not in left_out and value != [] and (key, value) != ("additionalProperties", True)
    }
    choices = [*found.pop("anyOf", []), *found.pop("oneOf", [])]
    choices = [inner for one in choices for inner in (one["anyOf"] if set(one) == {"anyOf"} else [one])]
    if choices:
        found["anyOf"] = sorted(choices, key=lambda one: json.dumps(one, sort_keys=True))
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found:
        found.pop("type", None)
    for key in ("enum", "required"):
        if key in found:
            found[key] = sorted(found[key], key=str)
    if "properties" in found:
        found["type"] = "object"
    return found


def meaning(key: str, text: str) -> str:
    """What a text says, where its wording or order may change: schemas, lists of keys and of options."""
    if key.startswith("help options"):
        rows = []
        for line in text.splitlines():
            head, *said = re.split(r" (?=\[)", line)
            parts = {part.strip(" []").removeprefix("default: ") for one in said for part in one.split("; ")}
            rows += [f"{head} {part}" for part in sorted(parts) or [""]]
        return "\n".join(sorted(rows))
    if "config schema" in key and "\nJSON" in text:
        head, _, rest = text.partition("\nJSON")
        body, mark, tail = rest.partition("\n{")[2].partition(HARD + "stderr")
        with contextlib.suppress(ValueError):
            data = json.loads("{" + body)
            return f"{head}\n{json.dumps(deref(data, data), indent=1, sort_keys=True)}{mark}{tail}"
    if key.startswith("refusals"):  # the folder of the images is in these checkpoints
        text = re.sub(r"\.[0-9a-f]{16}\.ckpt", ".#.ckpt", text)
    if "config show" in key:
        text = re.sub(r'"(meaning|doc)": ".*"', '"meaning": #', text)
        text = re.sub(r"^expect: .*?(; default \S+)?$", r"expect: #\1", text, flags=re.MULTILINE)
        return re.sub(r"^([\w.-]+) {2,}(\S+) {2,}.*$", r"\1 \2", text, flags=re.MULTILINE)
    return text


def intended() -> list[tuple[re.Pattern[str], re.Pattern[str], str]]:
    """Lines `COMMAND ||| LINE ||| REASON` of intended.txt: two patterns and the reason."""
    rules = []
    for line in (Path(__file__).parent / "intended.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            command, text, reason = (part.strip() for part in line.split("|||"))
            rules.append((re.compile(command), re.compile(text), reason))
    return rules


def compare(old: dict[str, str], new: dict[str, str]) -> tuple[list[str], dict[str, str], collections.Counter]:
    """Equal keys; key -> diff of those that differ without a reason; how often each reason was needed."""
    rules, equal, differ, reasons = intended(), [], {}, collections.Counter()
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key, "(no such command)"), new.get(key, "(no such command)")
        before, after = (meaning(key, normal(text)) for text in (before, after)) if before != after else ("", "")
        if before == after:
            equal.append(key)
            continue
        lines = list(
            difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", n=1, lineterm="")
        )
        left, used = [], set()
        for line in lines[2:]:
            if line[:1] in "+-":
                reason = next((r for c, t, r in rules if c.search(key) and t.search(line)), None)
                if reason is None:
                    left.append(line)
                else:
                    used.add(reason)
        reasons.update(used)
        if left:
            differ[key] = "\n".join(lines)
    return equal, differ, reasons


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.record")
    parser.add_argument("what", choices=["store", "compare"])
    parser.add_argument("--only", default="", help="groups and commands that match")
    parser.add_argument("--lines", type=int, default=60, help="lines of a diff at most")
    parser.add_argument("--again", action="store_true", help="what the last comparison found; run nothing")
    parser.add_argument("--times", action="store_true", help="the slowest commands")
    asked = parser.parse_args()
    os.environ["COLUMNS"] = "100"
    sys.argv = ["optilab"]
    start = os.times()
    last = RECORD / "last.json.gz"
    latest = json.loads(gzip.decompress(last.read_bytes())) if last.exists() else {}
    if asked.again:
        found = {key: text for key, text in latest.items() if re.search(asked.only, key.partition(":")[0])}
        times: dict[str, tuple[float, float]] = {}
    else:
        found, times = run_all(re.compile(asked.only))
    end = os.times()
    if asked.times:
        for key, taken in sorted(times.items(), key=lambda item: -item[1][0])[:40]:
            print(*taken, key, file=sys.stderr)
    file = RECORD / "store.json.gz"
    print(f"CPU {sum(end[:4]) - sum(start[:4]):.0f} s", file=sys.stderr)
    if asked.what == "store":
        if asked.only:  # these groups anew
            stored = json.loads(gzip.decompress(file.read_bytes()))
            groups = {key.partition(":")[0] for key in found}
            found = {key: text for key, text in stored.items() if key.partition(":")[0] not in groups} | found
        file.write_bytes(gzip.compress(json.dumps(found).encode()))
        print(f"{len(found)} commands stored")
        return
    stored = json.loads(gzip.decompress(file.read_bytes()))
    if not asked.again:
        last.write_bytes(gzip.compress(json.dumps({**latest, **found}).encode(), 1))
    groups = {key.partition(":")[0] for key in found}
    stored = {key: text for key, text in stored.items() if key.partition(":")[0] in groups}
    equal, differ, reasons = compare(stored, found)
    for key, diff in differ.items():
        shown = diff.splitlines()
        print(f"\n=== {key}")
        print("\n".join(line[:400] for line in shown[: asked.lines]))
        if len(shown) > asked.lines:
            print(f"[{len(shown) - asked.lines} more lines]")
    for reason, count in reasons.items():
        print(f"intended, {count} commands: {reason}")
    total = len(stored.keys() | found.keys())
    print(
        f"{total} commands: {len(equal)} equal, {total - len(equal) - len(differ)} intended, {len(differ)} differ"
    )
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
