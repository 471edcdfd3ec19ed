"""A vendor of prices: a real HTTP server that gives prepared answers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from include.datasets.market.downloads import Downloads

BODY = "Date,Open,High,Low,Close,Volume\n2017-07-03,1,2,1,2,10\n2017-07-05,2,3,2,3,10\n"
LONGER = f"{BODY}2017-07-06,3,4,3,4,10\n"


@dataclass
class Answer:
    """What the server says next; `told` is the Content-Length where it is not that of the body.

    With a `pause`, that many seconds lie between the body's bytes.
    """

    status: int = 200
    body: str = BODY
    headers: dict[str, str] = field(default_factory=dict)
    told: int | None = -1
    pause: float = 0


class Server:
    """A real server on this machine that gives prepared answers in turn; the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer()]
        self.requests: list[tuple[str, dict[str, str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vendor.requests.append((self.path, dict(self.headers)))
                answer = vendor.answers.pop(0) if len(vendor.answers) > 1 else vendor.answers[0]
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.told is not None:
                    self.send_header("Content-Length", str(len(answer.body) if answer.told < 0 else answer.told))
                self.end_headers()
                if not answer.pause:
                    self.wfile.write(answer.body.encode())
                    return
                with contextlib.suppress(ConnectionError):  # once the client has had enough
                    for byte in answer.body.encode():
                        self.wfile.write(bytes([byte]))
                        time.sleep(answer.pause)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


Vendor = Callable[..., Downloads]
