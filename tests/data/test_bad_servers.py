"""Downloads from bad web servers on this machine: no half file, resumed where it can be."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from optilab.data import fetch, formats
from optilab.data import read as data
from optilab.data.catalog import DATASETS
from optilab.errors import DataError
from tests.data.idx import NAMES, arrays, write_idx_dataset
from tests.data.server import Answer, Server, answer, whole

IMAGES = f"{NAMES[0]}.gz"
QUICK = fetch.FetchLimits(connect=5, stall=0.2, slowest=1000, resumes=4)


def ranged(most: int, tag: str = '"one"') -> Answer:
    """At most so many bytes per connection, and the rest from wherever it is asked for of the same version."""

    def act(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
        begin = 0
        if (asked := handler.headers.get("Range")) and handler.headers.get("If-Range") in (tag, None):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
        part = body[begin : begin + most]
        facts = {"Accept_Ranges": "bytes", "ETag": tag, "Content_Length": len(body) - begin}
        if begin:
            facts["Content_Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        answer(handler, 206 if begin else 200, part, **facts)

    return act


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """It serves a small dataset that is taken for MNIST."""
    monkeypatch.setenv("no_proxy", "*")
    folder = write_idx_dataset(tmp_path / "small", 40, 20)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], digests=digests))
    serving = Server(folder)
    yield serving
    serving.close()


def fetched(server: Server, tmp_path: Path) -> None:
    """Fetch, and find the same images."""
    place = fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url], QUICK)
    found = data.load("mnist", tmp_path / "there")
    np.testing.assert_array_equal(found.train_images, arrays(40, 20)[NAMES[0]])
    assert sorted(path.name for path in place.iterdir()) == sorted(NAMES)


def redirected(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    if number == 1:
        answer(handler, 302, b"", Location=f"/elsewhere/{IMAGES}")
    else:
        whole(handler, body, number)


def stalled(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    ranged(1000 if number == 1 else len(body))(handler, body, number)
    if number == 1:
        handler.wfile.flush()
        handler.rfile.read(1)  # until the client goes


def changed(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    most, tag = (1000, '"old"') if number == 1 else (len(body), '"new"')
    ranged(most, tag)(handler, bytes(len(body)) if number == 1 else body, number)


FETCHED: dict[str, tuple[Answer, list[str | None]]] = {  # what the server does, the ranges that are asked for
    "no length": (lambda h, body, n: answer(h, 200, body, Content_Length=None), [None]),
    "a redirect": (redirected, [None, None]),
    "a cut": (ranged(10_000), [None, "bytes=10000-", "bytes=20000-"]),
    "a stall": (stalled, [None, "bytes=1000-"]),
    "a file that changes in between": (changed, [None, "bytes=1000-"]),
}


@pytest.mark.parametrize("case", FETCHED)
def test_a_fetch_goes_well_in_the_end(server, tmp_path, case):
    server.act, ranges = FETCHED[case]
    fetched(server, tmp_path)
    assert server.ranges == ranges


def other_part(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    if number == 1:
        ranged(1000)(handler, body, number)
    else:
        answer(handler, 206, body[:500], Content_Range=f"bytes 0-499/{len(body)}")


BOMB = gzip.compress(bytes(3_000_000))
REFUSED: dict[str, tuple[Answer, str, int]] = {  # what the server does, what the message says, requests
    "404": (lambda h, body, n: h.send_error(404), "HTTP Error 404: Not Found", 1),
    "a file": (lambda h, b, n: answer(h, 302, b"", Location="file:///etc/passwd"), ".*not allowed", 1),
    "cut": (lambda h, b, n: answer(h, 200, b[:500], Content_Length=len(b)), ".* bytes, found 500 bytes", 1),
    "cut, no length": (lambda h, b, n: answer(h, 200, b[:500], Content_Length=None), "expected a whole gzip", 1),
    "cut each time": (ranged(100), "expected [0-9]+ bytes, found 500 bytes", 5),
    "wrong bytes": (
        lambda h, b, n: answer(h, 200, gzip.compress(b"other")),
        "expected SHA-256 .* found SHA-256",
        1,
    ),
    "a bomb": (lambda h, b, n: answer(h, 200, BOMB), "expected at most 1000000 bytes uncompressed", 1),
    "another part": (other_part, "asked for the rest from byte 1000, found bytes 0-499", 2),
    "control characters": (lambda h, b, n: h.wfile.write(b"\x1b[31mSSH-2.0\r\n"), r"\?\[31mSSH-2\.0", 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_answer_is_named_and_leaves_nothing(server, tmp_path, case, monkeypatch):
    server.act, reason, requests = REFUSED[case]
    monkeypatch.setattr(formats, "MAX_BYTES", 1_000_000)
    with pytest.raises(DataError, match=f"  {server.url}{IMAGES}: {reason}") as caught:
        fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url], QUICK)
    assert not (tmp_path / "there").exists()
    assert len(server.ranges) == requests
    assert "\x1b" not in str(caught.value)
    assert all(len(line) < 500 for line in str(caught.value).splitlines())
    server.act = whole  # it is repaired
    fetched(server, tmp_path)
