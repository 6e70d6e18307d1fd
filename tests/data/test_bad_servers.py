"""Downloads from bad web servers on this machine: each failure is named, and no half file is left."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from optilab.data import fetch, read
from optilab.data.catalog import DATASETS
from optilab.errors import DataError
from tests.data.idx import NAMES, arrays, write_idx_dataset
from tests.data.server import Answer, Server, answer, whole

IMAGES = f"{NAMES[0]}.gz"


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


def assert_fetched(server: Server, tmp_path: Path) -> None:
    """The same images."""
    place = fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url])
    dataset = read.load("mnist", tmp_path / "there")
    np.testing.assert_array_equal(dataset.train_images, arrays(40, 20)[NAMES[0]])
    assert place
    assert sorted(path.name for path in place.iterdir()) == sorted(NAMES)


def redirected(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    if number == 1:
        answer(handler, 302, b"", Location=f"/elsewhere/{IMAGES}")
    else:
        whole(handler, body, number)


def stalled(handler: BaseHTTPRequestHandler, body: bytes, number: int) -> None:
    answer(handler, 200, body[:1000], Content_Length=len(body))
    handler.wfile.flush()
    handler.rfile.read(1)  # until the client goes


@pytest.mark.parametrize("act", [redirected, lambda h, body, n: answer(h, 200, body, Content_Length=None)])
def test_fetch_of_redirect_and_without_length(server, tmp_path, act):
    server.act = act
    assert_fetched(server, tmp_path)


BOMB = gzip.compress(bytes(3_000_000))
OTHER = gzip.compress(b"other")
REFUSED: dict[str, tuple[Answer, str]] = {  # what the server does, what the message says
    "404": (lambda h, body, n: h.send_error(404), "HTTP Error 404: Not Found"),
    "a file": (lambda h, body, n: answer(h, 302, b"", Location="file:///etc/passwd"), ".*not allowed"),
    "cut": (lambda h, body, n: answer(h, 200, body[:500], Content_Length=len(body)), ".* bytes, found 500 bytes"),
    "cut, no length": (
        lambda h, body, n: answer(h, 200, body[:500], Content_Length=None),
        "expected a whole gzip",
    ),
    "stalled": (stalled, "timed out"),
    "wrong bytes": (lambda h, body, n: answer(h, 200, OTHER), "expected SHA-256 .* found SHA-256"),
    "a bomb": (lambda h, body, n: answer(h, 200, BOMB), "expected at most 1,000,000 bytes, found more"),
    "control characters": (lambda h, body, n: h.wfile.write(b"\x1b[31mSSH-2.0\r\n"), r"\?\[31mSSH-2\.0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_answer_is_named_and_leaves_nothing(server, tmp_path, case, monkeypatch):
    server.act, reason = REFUSED[case]
    monkeypatch.setattr(read, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(fetch, "SECONDS", 0.5)
    with pytest.raises(DataError, match=f"  {server.url}{IMAGES}: {reason}") as caught:
        fetch.fetch("mnist", lambda *row: None, tmp_path / "there", [server.url])
    assert not (tmp_path / "there").exists()
    assert "\x1b" not in str(caught.value)
    assert all(len(line) < 500 for line in str(caught.value).splitlines())
    server.act = whole  # it is repaired
    assert_fetched(server, tmp_path)
