"""This interpreter at the desk of somebody with Windows or macOS: what does not exist there is gone for optilab's code.

Python runs this file at its start where its directory is in PYTHONPATH, and every process that is started from here
has it there. DESK is a JSON file: the `system`, the names that are `gone` from each module, the `modules` that are
gone, and the directory in which `processes` leave their numbers.

The standard library and PyTorch are those of Linux and keep what they need. What is gone is gone for the callers in
CALLERS; how files, texts and forks behave changes for all.
"""

import builtins
import errno
import importlib
import io
import json
import os
import selectors
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

with open(os.environ["DESK"], encoding="utf-8") as file:
    DESK = json.load(file)
WINDOWS = DESK["system"] == "win32"
CALLERS = ("optilab", "portalocker", "tests", "__main__")
BREAK = 21
"""The signal that stands for Ctrl-Break."""


def at_the_desk(namespace):
    """True for code of optilab, which sees what the other system has; the library of Linux sees what it needs."""
    return (namespace or {}).get("__name__", "").partition(".")[0] in CALLERS


# --- names -------------------------------------------------------------------------------------------------


def fork():
    raise RuntimeError("a process was forked at a desk where it must not be")


def kill(pid, number):
    """Windows ends a process by any number but those of two events."""
    if number in (0, 1):
        real["kill"](pid, 2 if number == 0 else BREAK)
    elif pid == os.getpid():
        os._exit(number)
    else:
        real["kill"](pid, 9)


class SocketSelector(selectors.SelectSelector):
    """Windows waits for sockets alone."""

    def register(self, file, events, data=None):
        require_socket(file)
        return super().register(file, events, data)


def require_socket(file):
    number = file if isinstance(file, int) else file.fileno()
    if not stat.S_ISSOCK(os.fstat(number).st_mode):
        raise OSError(errno.ENOTSOCK, "an operation was attempted on something that is not a socket")


def select(read, write, other, *seconds):
    for file in [*read, *write, *other]:
        require_socket(file)
    return real["select"](read, write, other, *seconds)


def locking(descriptor, mode, size):
    """Lock a file as `msvcrt.locking` does: exclusively, at once or not at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EACCES, "Permission denied") from None


MSVCRT = ModuleType("msvcrt")
vars(MSVCRT).update(locking=locking, LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2, LK_RLCK=3, LK_NBRLCK=4)
VIEWS = {
    "win32": {
        "os": {"name": "nt", "kill": kill, "O_BINARY": 0, "O_NOINHERIT": os.O_CLOEXEC},
        "sys": {"platform": "win32"},
        "signal": {"CTRL_C_EVENT": 0, "CTRL_BREAK_EVENT": 1, "SIGBREAK": BREAK},
        "subprocess": {"CREATE_NEW_PROCESS_GROUP": 0x200, "CREATE_NO_WINDOW": 0x8000000},
        "select": {"select": select},
        "selectors": {"DefaultSelector": SocketSelector},
    },
    "darwin": {"sys": {"platform": "darwin"}, "fcntl": {"F_FULLFSYNC": 51}},
}[DESK["system"]]
frame = sys._getframe
real = {"kill": os.kill, "select": importlib.import_module("select").select, "import": builtins.__import__}


class View(ModuleType):
    """A module that shows callers of the desk other names than those of Linux."""

    def __getattribute__(self, name):
        if (caller := frame().f_back) and at_the_desk(caller.f_globals):
            module = ModuleType.__getattribute__(self, "__name__")
            if name in VIEWS.get(module, ()):
                return VIEWS[module][name]
            if name in DESK["gone"].get(module, ()):
                raise AttributeError(f"module {module!r} has no attribute {name!r} on {DESK['system']}")
        return ModuleType.__getattribute__(self, name)


def import_at_desk(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and at_the_desk(frame(1).f_globals if globals is None else globals):
        if name == "msvcrt" and WINDOWS:
            return MSVCRT
        if name in DESK["modules"]:
            raise ModuleNotFoundError(f"No module named {name!r} on {DESK['system']}", name=name)
    return real["import"](name, globals, locals, fromlist, level)


# --- processes ---------------------------------------------------------------------------------------------

start = subprocess.Popen.__init__


def start_at_desk(self, args, *rest, env=None, creationflags=0, text=None, encoding=None, **options):
    """Start a process that is at this desk, too; Windows hands over no descriptor but the three of its streams."""
    env = {**(os.environ if env is None else env), "DESK": os.environ["DESK"]}
    paths = [str(Path(__file__).parent), *filter(None, [env.get("PYTHONPATH")])]
    env |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING", "")}
    if WINDOWS:
        if options.get("pass_fds") or options.get("preexec_fn"):
            raise ValueError("pass_fds and preexec_fn are not supported on Windows")
        numbers = [options.get(stream) for stream in ("stdin", "stdout", "stderr")]
        if any(isinstance(n, int) and n > 2 and stat.S_ISSOCK(os.fstat(n).st_mode) for n in numbers):
            raise OSError(errno.EBADF, "a socket is not a stream on Windows")
        encoding = encoding or ("cp1252" if text or options.get("universal_newlines") else None)
    start(self, args, *rest, env=env, text=text, encoding=encoding, **options)


# --- files -------------------------------------------------------------------------------------------------

RESERVED = ("con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10)))


def in_use(path):
    """True where a process of this desk has the file open, or one in the directory, or works in the directory."""
    path = os.path.join(os.path.realpath(os.path.dirname(os.fspath(path)) or "."), os.path.basename(path))
    for number in os.listdir(DESK["processes"]):
        try:
            links = [
                f"/proc/{number}/cwd",
                *(f"/proc/{number}/fd/{fd}" for fd in os.listdir(f"/proc/{number}/fd")),
            ]
        except OSError:  # it has ended
            continue
        for link in links:
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target == path or target.startswith(f"{path}/"):
                return True
    return False


def refuse(path, text="The process cannot access the file because it is being used by another process", number=32):
    error = PermissionError(errno.EACCES, text, os.fspath(path))
    error.winerror = number
    raise error


def require_name(path):
    """OSError for a name that Windows cannot have."""
    name = os.path.basename(os.fsdecode(path))
    bad = set(name) & set('<>:"|?*\\') or any(ord(letter) < 32 for letter in name) or name.endswith((".", " "))
    if (bad and name not in (".", "..")) or name.partition(".")[0].lower() in RESERVED:
        raise OSError(errno.EINVAL, "The filename, directory name, or volume label syntax is incorrect", path)


def unless_in_use(call):
    def called(path, *rest, **options):
        if not isinstance(path, int) and os.path.lexists(path) and in_use(path):
            refuse(path)
        return call(path, *rest, **options)

    return called


def moving(call, over):
    def called(source, target, **options):
        require_name(target)
        for path in (source, target):
            if os.path.lexists(path) and in_use(path):
                refuse(path)
        if os.path.lexists(target) and (not over or os.path.isdir(target)):
            raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", target)
        return call(source, target, **options)

    return called


def open_descriptor(path, flags, *rest, call=os.open, **options):
    if os.path.isdir(path) and flags & os.O_TMPFILE != os.O_TMPFILE:  # tempfile's file without a name
        refuse(path, "Access is denied", 5)
    if flags & os.O_CREAT:
        require_name(path)
    return call(path, flags, *rest, **options)


def open_file(
    file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, call=io.open, **options
):
    """Open a file; a text has the code page and the newlines of Windows, unless the caller says which."""
    if not isinstance(file, int) and set(mode) & set("wax+"):
        require_name(file)
    if "b" not in mode:
        encoding = text_encoding(encoding)
        newline = "\r\n" if newline is None and "r" not in mode else newline
    return call(file, mode, buffering, encoding, errors, newline, *rest, **options)


def text_encoding(encoding, *_):
    return "cp1252" if encoding in (None, "locale") else encoding


def make_directory(path, *rest, call=os.mkdir, **options):
    require_name(path)
    return call(path, *rest, **options)


# --- from here on this is the desk -------------------------------------------------------------------------

fcntl = importlib.import_module("fcntl")
Path(DESK["processes"], str(os.getpid())).touch()
os.fork = os.forkpty = fork
subprocess.Popen.__init__ = start_at_desk
if WINDOWS:
    for name in ("unlink", "remove", "rmdir"):
        setattr(os, name, unless_in_use(getattr(os, name)))
    os.rename, os.replace = moving(os.rename, over=False), moving(os.replace, over=True)
    os.open, os.mkdir, io.text_encoding = open_descriptor, make_directory, text_encoding
    builtins.open = io.open = open_file
else:
    full, plain = 51, fcntl.fcntl
    fcntl.fcntl = lambda file, command, *rest: os.fsync(file) if command == full else plain(file, command, *rest)
for name in {*DESK["gone"], *VIEWS}:
    real["import"](name)
    sys.modules[name].__class__ = View
builtins.__import__ = import_at_desk
