"""How often a client of an S3 server asks again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.stack.s3 import connect


class RefusesOnce(BaseHTTPRequestHandler):
    """Refuses the first request, as a busy S3 server does, and answers later ones."""

    def do_HEAD(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(503 if self.server.asked == 1 else 200)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    started = ThreadingHTTPServer(("127.0.0.1", 0), RefusesOnce)
    started.asked = 0  # type: ignore[attr-defined]
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def test_a_client_asks_as_often_as_it_may(server: Any) -> None:
    address = f"http://127.0.0.1:{server.server_port}"

    with pytest.raises(ClientError, match="503"):
        connect(address, "us-east-1", ("key", "secret"), attempts=1).head_bucket(Bucket="ml-lake")
    assert server.asked == 1

    server.asked = 0
    connect(address, "us-east-1", ("key", "secret"), attempts=2).head_bucket(Bucket="ml-lake")
    assert server.asked == 2
