"""A web server on this machine that serves the four files of a dataset, well or badly."""

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.data.idx import NAMES

Answer = Callable[[BaseHTTPRequestHandler, bytes, int], None]


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


class Server:
    """`act(handler, body, number)` answers the requests for one file, by default the training images."""

    def __init__(self, folder: Path, file: str = NAMES[0], act: Answer = whole) -> None:
        self.bodies = {f"{name}.gz": gzip.compress((folder / name).read_bytes(), 1) for name in NAMES}
        self.act, self.file = act, f"{file}.gz"
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                server.asked.append(name)
                if name != server.file:
                    whole(self, server.bodies[name], 0)
                    return
                server.act(self, server.bodies[name], server.asked.count(name))

            def log_message(self, *arguments: object) -> None: ...

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None: ...

        self.http = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
