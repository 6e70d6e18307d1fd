"""Damages of a file: what a failing disk, a power cut, an editor or another program may leave of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

KINDS = (
    *("gone", "cut", "cut at a line", "without a line", "a flipped bit", "another digit", "empty", "a list"),
    *("an empty mapping", "zeros", "a folder", "a link", "a FIFO", "16 GB"),
)


@dataclass(frozen=True)
class Damage:
    """One kind of damage; `where` draws its place."""

    kind: str
    where: int

    def __call__(self, file: Path) -> None:
        data = file.read_bytes()
        lines, at = data.splitlines(keepends=True), self.where % max(1, len(data))
        line = self.where % max(1, len(lines))
        contents = {
            "cut": data[:at],
            "cut at a line": b"".join(lines[:line]),
            "without a line": b"".join(lines[:line] + lines[line + 1 :]),
            "a flipped bit": data[:at]
            + bytes(byte ^ 1 << self.where % 8 for byte in data[at : at + 1])
            + data[at + 1 :],
            "another digit": self._digit(data),
            "empty": b"",
            "a list": b"[1, 2]\n",
            "an empty mapping": b"{}\n",
            "zeros": bytes(512),
        }
        file.unlink()
        match self.kind:
            case "a folder":
                file.mkdir()
            case "a link":
                file.symlink_to("/etc/passwd")
            case "a FIFO":
                os.mkfifo(file)
            case "16 GB":
                file.touch()
                os.truncate(file, 16 << 30)
            case kind if kind != "gone":
                file.write_bytes(contents[kind])

    def _digit(self, data: bytes) -> bytes:
        digits = [place for place, byte in enumerate(data) if byte in b"123456789"]
        at = digits[self.where % len(digits)] if digits else 0
        return data[:at] + b"8" + data[at + 1 :]


DAMAGES = st.builds(Damage, st.sampled_from(KINDS), st.integers(0, 1 << 20))
