"""What a notification says, when it is sent, and that services which do not take it fail nobody."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg2
import pytest

from include.lifecycle.reporting.notifications import (
    Message,
    Notification,
    Services,
    Unsent,
    choose_due,
    in_one_line,
    message,
    notify,
    send,
)

NOW = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
FAILURE = Notification(
    "churn_scoring.publish failed",
    "No row has a score.",
    {"Log": "http://airflow/log", "Page": "http://airflow/page"},
)
SAID = Message("Churn", 'Drift of "churn", 54 %.')


class Server:
    """A real HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.status = 200
        self.delay = 0.0
        self.posts: list[tuple[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.posts.append((self.path, json.loads(body)))
                time.sleep(server.delay)
                self.send_response(server.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.http.server_port}"
        self.webhook = f"http://{self.place}/hooks/secret-token"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.posts]


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever)
    thread.start()
    yield served
    served.http.shutdown()
    thread.join()
    served.http.server_close()


def unreachable() -> AbstractContextManager[Any]:
    raise psycopg2.OperationalError("connection refused")


# What is said


def test_a_message_has_the_reason_and_the_links() -> None:
    assert message(Unsent(FAILURE, 1, NOW, None)) == Message(
        "churn_scoring.publish failed", "No row has a score.\nLog: http://airflow/log\nPage: http://airflow/page"
    )


def test_a_message_about_what_was_sent_before_counts_what_happened_since() -> None:
    unsent = Unsent(FAILURE, 12, NOW, NOW - timedelta(hours=7))

    assert message(unsent).body.splitlines()[1] == "Again: 12 times since 2026-11-21 07:30 UTC."


def test_a_message_that_had_to_wait_counts_too() -> None:
    assert message(Unsent(FAILURE, 3, NOW, None)).body.splitlines()[1] == (
        "So far: 3 times since 2026-11-21 07:30 UTC."
    )


def test_the_last_message_of_an_hour_says_how_many_wait() -> None:
    assert message(Unsent(FAILURE, 1, NOW, None), waiting=2).body.splitlines()[-1] == (
        "2 other notifications wait, as too many were sent within the hour: look at the list of failed runs in "
        "Airflow."
    )


def test_what_differs_in_numbers_and_hashes_alone_is_the_same_notification() -> None:
    def key(reason: str) -> str:
        return Notification("customers_etl.extract failed", reason).key

    assert key("Day 2026-11-20: part-0123456789abcdef.parquet, 7 rows.") == key(
        "Day 2026-11-21: part-fedcba9876543210.parquet, 1200 rows."
    )
    assert key("The disk is full.") != key("The server refuses.")


# When it is sent


def unsent(title: str, sent_before: timedelta | None = None) -> Unsent:
    return Unsent(Notification(title, ""), 1, NOW, None if sent_before is None else NOW - sent_before)


def test_what_is_new_is_due_and_what_was_just_sent_is_not() -> None:
    services = Services((), quiet=timedelta(hours=6))
    new, just, long_ago = unsent("new"), unsent("just", timedelta(hours=5)), unsent("old", timedelta(hours=6))

    assert choose_due([new, just, long_ago], 0, services, NOW) == ([new, long_ago], 0)


def test_an_hour_has_room_for_so_many_and_the_others_wait() -> None:
    first, second, third = unsent("a"), unsent("b"), unsent("c")

    assert choose_due([first, second, third], 18, Services(()), NOW) == ([first, second], 1)
    assert choose_due([first], 21, Services(()), NOW) == ([], 1)


def test_the_same_failure_is_sent_once_and_then_with_a_count(server: Server, postgres: Any) -> None:
    services = Services((server.webhook,), quiet=timedelta(hours=6))
    days = [Notification("customers_etl.extract failed", f"2026-11-{day} is not there.") for day in range(10, 20)]

    for minute, failure in enumerate(days):
        notify(failure, services, lambda: nullcontext(postgres), NOW + timedelta(minutes=minute))
    notify(days[0], services, lambda: nullcontext(postgres), NOW + timedelta(hours=6))

    assert server.texts == [
        "customers_etl.extract failed\n2026-11-10 is not there.",
        "customers_etl.extract failed\n2026-11-10 is not there.\nAgain: 10 times since 2026-11-21 07:31 UTC.",
    ]


def test_processes_at_once_send_one_message_for_one_failure(server: Server, postgres_dsn: str) -> None:
    """Each thread has a connection of its own, as each process of Airflow has."""
    services, together = Services((server.webhook,)), threading.Barrier(8)

    def fail() -> None:
        connection = psycopg2.connect(postgres_dsn)
        together.wait()
        notify(FAILURE, services, lambda: nullcontext(connection), NOW)
        connection.close()

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.posts) == 1


def test_a_flood_of_different_failures_is_held_back_and_comes_when_the_hour_has_room(
    server: Server, postgres: Any
) -> None:
    services = Services((server.webhook,), per_hour=2)
    for name in ("a", "b", "c", "d"):
        notify(Notification(f"{name} failed", "No."), services, lambda: nullcontext(postgres), NOW)
    held_back = [text.splitlines()[0] for text in server.texts]
    notify(Notification("e failed", "No."), services, lambda: nullcontext(postgres), NOW + timedelta(hours=1))

    assert held_back == ["a failed", "b failed"]
    assert [text.splitlines()[0] for text in server.texts[2:]] == ["c failed", "d failed"]
    assert "1 other notification waits" in server.texts[3]


def test_what_no_service_took_is_sent_with_the_next_notification(server: Server, postgres: Any) -> None:
    services = Services((server.webhook,))
    server.status = 500
    notify(FAILURE, services, lambda: nullcontext(postgres), NOW)
    server.status = 200
    notify(FAILURE, services, lambda: nullcontext(postgres), NOW + timedelta(minutes=1))

    assert "So far: 2 times since 2026-11-21 07:30 UTC." in server.texts[1]


def test_while_the_warehouse_is_out_of_reach_each_notification_is_sent(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    notify(FAILURE, Services((server.webhook,)), unreachable, NOW)
    notify(FAILURE, Services((server.webhook,)), unreachable, NOW)

    assert len(server.posts) == 2
    assert "The warehouse cannot count notifications, so each is sent: connection refused" in caplog.text


def test_without_services_the_log_has_it_each_time(caplog: pytest.LogCaptureFixture) -> None:
    notify(FAILURE, None, unreachable, NOW)
    notify(FAILURE, Services(()), unreachable, NOW)

    assert [record.getMessage() for record in caplog.records] == [in_one_line(FAILURE)] * 2
    assert in_one_line(FAILURE) == (
        "churn_scoring.publish failed: No row has a score. Log: http://airflow/log Page: http://airflow/page"
    )


# By whom it is taken


def test_a_webhook_gets_the_message_as_json(server: Server) -> None:
    assert send(SAID, [server.webhook])
    assert server.posts == [("/hooks/secret-token", {"text": 'Churn\nDrift of "churn", 54 %.'})]


def test_each_service_gets_the_message_in_its_own_protocol(server: Server) -> None:
    addresses = [
        f"json://{server.place}/any/path",
        f"ntfy://{server.place}/on-call",
        f"mmost://{server.place}/0123456789abcdefghij",
    ]

    assert send(SAID, addresses)

    (json_path, plain), (ntfy_path, ntfy), (mattermost_path, mattermost) = server.posts
    assert (json_path, plain["title"], plain["message"]) == ("/any/path", SAID.title, SAID.body)
    assert ntfy_path == "/"
    assert (ntfy["topic"], ntfy["title"], ntfy["message"]) == ("on-call", SAID.title, SAID.body)
    assert mattermost_path == "/hooks/0123456789abcdefghij"
    assert SAID.title in mattermost["text"]
    assert SAID.body in mattermost["text"]


def test_a_service_that_refuses_keeps_no_other_from_the_message(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(SAID, ["ntfy://127.0.0.1:9/on-call", f"json://{server.place}/"])
    assert "The service ntfy did not take the notification" in caplog.text
    assert len(server.posts) == 1


@pytest.mark.parametrize("scheme", ["http", "json"])
def test_a_service_that_refuses_does_not_fail_the_caller(
    server: Server, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    server.status = 500

    assert not send(SAID, [f"{scheme}://{server.place}/hooks"])
    assert f"The service {scheme} did not take the notification" in caplog.text


def test_a_webhook_that_hangs_is_given_up(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.delay = 1.0
    started = time.monotonic()

    send(SAID, [server.webhook], timeout=0.1)

    assert time.monotonic() - started < 0.9
    assert "did not take the notification" in caplog.text


@pytest.mark.parametrize("address", ["file:///etc/hostname", "hooks.example.com/secret-token", "nobody://host"])
def test_an_address_of_no_service_is_an_error_in_the_log(address: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not send(SAID, [address])
    assert "Apprise knows no such address" in caplog.text


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "address", ["http://{}/secret-token", "mmost://{}/secret-token0123456789", "json://{}/secret-token"]
)
def test_an_address_which_is_a_secret_stays_out_of_the_log(
    server: Server, status: int, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.status = status

    send(SAID, [address.format(server.place), "nobody://secret-token"])

    assert len(server.posts) == 1
    assert "secret-token" not in caplog.text
