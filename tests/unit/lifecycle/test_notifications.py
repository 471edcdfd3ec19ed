"""Messages reach the log always, and the webhook where one is configured."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from include.lifecycle.notifications import notify


class Webhook:
    """A real HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.posts: list[tuple[str, str | None, Any]] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
                time.sleep(webhook.delay)
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/secret-token"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    served = Webhook()
    thread = threading.Thread(target=served.server.serve_forever)
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_without_a_webhook_the_message_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notify("Drift of churn.")

    assert "Drift of churn." in caplog.text


def test_a_webhook_gets_the_message_as_json_and_the_log_has_it_too(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    notify('Drift of "churn" - 54 %.', webhook.url)

    assert webhook.posts == [("/hooks/secret-token", "application/json", {"text": 'Drift of "churn" - 54 %.'})]
    assert 'Drift of "churn" - 54 %.' in caplog.text


def test_a_webhook_that_refuses_does_not_fail_the_caller(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = 500

    notify("Drift of churn.", webhook.url)

    assert "HTTP Error 500" in caplog.text


def test_a_webhook_that_hangs_is_given_up(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    webhook.delay = 1.0
    started = time.monotonic()

    notify("Drift of churn.", webhook.url, timeout=0.1)

    assert time.monotonic() - started < 0.9
    assert "did not take the message" in caplog.text


def test_an_address_that_nobody_listens_at_does_not_fail_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    notify("Drift of churn.", "http://127.0.0.1:9/hooks/secret-token", timeout=1)

    assert "did not take the message" in caplog.text


@pytest.mark.parametrize("address", ["file:///etc/hostname", "hooks.example.com/secret-token"])
def test_only_web_addresses_are_posted_to(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notify("Drift of churn.", address)

    assert "does not start with http" in caplog.text


@pytest.mark.parametrize("status", [200, 500])
def test_the_address_which_is_a_secret_stays_out_of_the_log(
    webhook: Webhook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.status = status

    notify("Drift of churn.", webhook.url)

    assert "secret-token" not in caplog.text
