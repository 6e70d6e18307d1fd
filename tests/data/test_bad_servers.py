"""Downloads from bad web servers on this machine: a sentence each, no half file, resumed where it can be."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from optilab.data import fetch, formats
from optilab.data import load as data
from optilab.data.sources import DATASETS
from optilab.errors import DataError
from tests.data.idx import NAMES, arrays, write_idx_dataset

IMAGES = f"{NAMES[0]}.gz"
QUICK = fetch.FetchLimits(connect=5, stall=0.2, slowest=1000, resumes=4)


class Server:
    """Serves the four files as MNIST's; `act(handler, body, number)` answers the requests for the training images."""

    def __init__(self, folder: Path) -> None:
        self.bodies = {f"{name}.gz": gzip.compress((folder / name).read_bytes(), 1) for name in NAMES}
        self.act: Callable[[BaseHTTPRequestHandler, bytes, int], None] = whole
        self.ranges: list[str | None] = []
        self.leave = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                if name != IMAGES:
                    whole(self, server.bodies[name], 0)
                    return
                server.ranges.append(self.headers.get("Range"))
                server.act(self, server.bodies[name], len(server.ranges))

            def log_message(self, *arguments: object) -> None: ...

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None: ...

        self.http = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.leave.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: object) -> None:
    """The status, the headers (`Content_Length` for Content-Length, None: left out) and the body."""
    handler.send_response(status)
    for name, value in {"Content_Length": len(body), **headers}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    answer(handler, 200, body)


def ranged(most: int, tag: str = '"one"') -> Callable[[BaseHTTPRequestHandler, bytes, int], None]:
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


@pytest.fixture(autouse=True)
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small dataset that is taken for MNIST; its folder."""
    monkeypatch.setenv("no_proxy", "*")
    folder = write_idx_dataset(tmp_path / "small", 40, 20)
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], digests=digests))
    return folder


@pytest.fixture
def server(mnist: Path) -> Iterator[Server]:
    serving = Server(mnist)
    yield serving
    serving.close()


def fetched(server: Server, tmp_path: Path, limits: fetch.FetchLimits = QUICK) -> None:
    """Fetch, and find the same images."""
    place = fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url], limits)
    assert place == tmp_path / "there" / "mnist"
    found = data.load("mnist", tmp_path / "there")
    np.testing.assert_array_equal(found.train_images, arrays(40, 20)[NAMES[0]])
    assert sorted(path.name for path in place.iterdir()) == sorted(NAMES)


def refused(server: Server, tmp_path: Path, reason: str, limits: fetch.FetchLimits = QUICK) -> str:
    """Fetch in vain: the reason is named with the address, and nothing is left."""
    with pytest.raises(DataError, match=f"  {server.url}{IMAGES}: {reason}") as caught:
        fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url], limits)
    assert not (tmp_path / "there").exists()
    return str(caught.value)


# What goes well in the end


def test_no_length(server: Server, tmp_path: Path) -> None:
    server.act = lambda handler, body, number: answer(handler, 200, body, Content_Length=None)
    fetched(server, tmp_path)


def test_a_redirect(server: Server, tmp_path: Path) -> None:
    def act(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
        if number == 1:
            answer(handler, 302, b"", Location=f"/elsewhere/{IMAGES}")
        else:
            whole(handler, body, number)

    server.act = act
    fetched(server, tmp_path)


def test_a_cut_is_resumed_from_where_it_was(server: Server, tmp_path: Path) -> None:
    size = len(server.bodies[IMAGES])
    server.act = ranged(size // 3 + 1)
    fetched(server, tmp_path)
    assert server.ranges == [None, f"bytes={size // 3 + 1}-", f"bytes={2 * (size // 3 + 1)}-"]


def test_a_stall_is_resumed(server: Server, tmp_path: Path) -> None:
    def act(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
        if number > 1:
            ranged(len(body))(handler, body, number)
            return
        ranged(1000)(handler, body, number)
        handler.wfile.flush()
        server.leave.wait(10)

    server.act = act
    fetched(server, tmp_path)
    assert server.ranges == [None, "bytes=1000-"]


def test_a_file_that_changes_in_between_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    def act(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
        most, tag = (1000, '"old"') if number == 1 else (len(body), '"new"')
        ranged(most, tag)(handler, bytes(len(body)) if number == 1 else body, number)

    server.act = act
    fetched(server, tmp_path)
    assert server.ranges == [None, "bytes=1000-"]


# What does not


def truncated(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    answer(handler, 200, body[:500], Content_Length=len(body))


def other_part(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    if number == 1:
        ranged(1000)(handler, body, number)
    else:
        answer(handler, 206, body[:500], Content_Range=f"bytes 0-499/{len(body)}")


def chunked(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    handler.protocol_version = "HTTP/1.1"
    answer(
        handler, 200, b"800\r\nhalf a chunk", Content_Length=None, Transfer_Encoding="chunked", Connection="close"
    )


REFUSED: dict[str, tuple[Callable[[BaseHTTPRequestHandler, bytes, int], None], str, int]] = {
    # what the server does, what the message says, requests
    "404": (lambda h, body, n: h.send_error(404), "HTTP Error 404: Not Found", 1),
    "a redirect to a file": (
        lambda h, b, n: answer(h, 302, b"", Location="file:///etc/passwd"),
        ".*not allowed",
        1,
    ),
    "cut": (truncated, "expected [0-9]+ bytes, found 500 bytes", 1),
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
BOMB = gzip.compress(bytes(3_000_000))


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_answer_is_named_and_leaves_nothing(
    server: Server, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.act, reason, requests = REFUSED[case]
    monkeypatch.setattr(formats, "MAX_BYTES", 1_000_000)
    message = refused(server, tmp_path, reason)
    assert len(server.ranges) == requests
    assert "\x1b" not in message
    assert all(len(line) < 500 for line in message.splitlines())
    server.act = whole  # it is repaired
    fetched(server, tmp_path)


def test_a_drip_is_given_up(server: Server, tmp_path: Path) -> None:
    def act(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
        answer(handler, 200, b"", Content_Length=len(body), Accept_Ranges="bytes")
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if server.leave.wait(0.02):
                return

    server.act = act
    refused(server, tmp_path, "slower than 1000 bytes per second")
    assert server.ranges == [None]
