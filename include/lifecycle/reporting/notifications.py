"""Notifications: in the log each time, and at the services that are configured once, with a count.

A failure rarely comes alone: thirty days of a backfill fail for one reason, and tomorrow's run for the same.
What differs from a notification in numbers alone is the same one again. It is counted in the warehouse, where
every process sees it, and sent at most once in a while.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import psycopg2
from psycopg2.extras import Json

from include.lifecycle.storage.warehouse import ensure_schema, locked

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

TABLE = "ml.notifications"
_VARIES = re.compile(r"\b[0-9a-f]{8,}\b|\d+")
_HOUR = timedelta(hours=1)
_REMEMBERED = timedelta(days=30)
_ENSURE = f"""
create table if not exists {TABLE} (
    key text primary key,
    title text not null,
    reason text not null,
    links jsonb not null,
    count integer not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    sent_at timestamptz
);
"""
_COUNT = f"""
insert into {TABLE} as known (key, title, reason, links, count, first_at, last_at)
values (%(key)s, %(title)s, %(reason)s, %(links)s, 1, %(now)s, %(now)s)
on conflict (key) do update set
    title = excluded.title, reason = excluded.reason, links = excluded.links, last_at = excluded.last_at,
    first_at = case when known.count = 0 then excluded.first_at else known.first_at end,
    count = known.count + 1
"""
_UNSENT = f"""
select key, title, reason, links, count, first_at, sent_at from {TABLE}
where count > 0 order by first_at, title, key
"""
_GIVE_BACK = f"""
update {TABLE} set count = count + %s, first_at = %s, sent_at = %s where key = %s
"""


@dataclass(frozen=True)
class Notification:
    """What people must know.

    Attributes
    ----------
    title : what happened, in one line.
    reason : why, in sentences.
    links : where to look, by name: the log, the page, the run.
    """

    title: str
    reason: str
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What it has in common with the same notification of another day: its text without numbers and hashes."""
        return hashlib.sha256(_VARIES.sub("#", f"{self.title}\n{self.reason}").encode()).hexdigest()


@dataclass(frozen=True)
class Services:
    """Where notifications are sent, and how often.

    Attributes
    ----------
    addresses : one per service, as Apprise writes them (`ntfy://…`, `mailto://…`); `http://` or `https://` is a
        webhook that takes `{"text": …}`. They are secrets.
    quiet : the same notification is sent again after so long at the earliest; at least an hour.
    per_hour : so many are sent in an hour at most; the others wait.
    """

    addresses: tuple[str, ...] = field(repr=False)
    quiet: timedelta = timedelta(hours=6)
    per_hour: int = 20

    def __post_init__(self) -> None:
        if self.quiet < _HOUR or self.per_hour < 1:
            raise ValueError(
                f"Notifications are at least 1 hour apart and at least 1 an hour, not {self.quiet} and "
                f"{self.per_hour}; correct `quiet_hours` and `per_hour` in the connection's extra."
            )


@dataclass(frozen=True)
class Unsent:
    """A notification that happened `count` times since `first_at`, which nobody was sent yet.

    `sent_at` is when the same one was sent last, if ever.
    """

    notification: Notification
    count: int
    first_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True)
class Message:
    """What a service shows."""

    title: str
    body: str


def notify(
    notification: Notification,
    services: Services | None,
    warehouse: Callable[[], AbstractContextManager[extensions.connection]],
    now: datetime,
) -> None:
    """Log a notification, and send what is due: besides it, that may be others which had to wait.

    A service that does not answer, or refuses, is logged as an error and not raised: a notification that fails
    must not fail the task that sends it. What no service took is due again. While the warehouse is out of reach,
    nothing can be counted, and each notification is sent: better twice than never.
    """
    log.warning("%s", in_one_line(notification))
    if services is None or not services.addresses:
        return
    try:
        with warehouse() as connection:
            due, waiting = _take_due(connection, notification, services, now)
            for unsent in due:
                is_last = unsent is due[-1]
                if not send(message(unsent, waiting if is_last else 0), services.addresses):
                    _give_back(connection, unsent)
    except psycopg2.Error as error:
        log.error("The warehouse cannot count notifications, so each is sent: %s", error)
        send(message(Unsent(notification, 1, now, None)), services.addresses)


def in_one_line(notification: Notification) -> str:
    """A notification as the log has it."""
    links = "".join(f" {name}: {address}" for name, address in notification.links.items())
    return f"{notification.title}: {notification.reason}{links}"


def message(unsent: Unsent, waiting: int = 0) -> Message:
    """The message of a notification; `waiting` others wait because too many were sent within the hour."""
    notification, lines = unsent.notification, [unsent.notification.reason]
    if unsent.sent_at is not None or unsent.count > 1:
        times = "once" if unsent.count == 1 else f"{unsent.count:,} times"
        again = "Again" if unsent.sent_at is not None else "So far"
        lines.append(f"{again}: {times} since {unsent.first_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC.")
    lines += [f"{name}: {address}" for name, address in notification.links.items()]
    if waiting:
        what = "1 other notification waits" if waiting == 1 else f"{waiting:,} other notifications wait"
        lines.append(f"{what}, as too many were sent within the hour: look at the list of failed runs in Airflow.")
    return Message(notification.title, "\n".join(lines))


def choose_due(
    unsent: Sequence[Unsent], sent_lately: int, services: Services, now: datetime
) -> tuple[list[Unsent], int]:
    """Those to send now, in the given order, and how many must wait as the hour has no room for them.

    Those that were sent within `quiet` are not due. `sent_lately` were sent within the last hour.
    """
    ready = [one for one in unsent if one.sent_at is None or now - one.sent_at >= services.quiet]
    room = max(services.per_hour - sent_lately, 0)
    return ready[:room], len(ready[room:])


def send(message: Message, addresses: Sequence[str], *, timeout: float = 10.0) -> bool:
    """Send a message to all services; whether at least one took it. Addresses are never logged."""
    taken = [_send(message, address, timeout) for address in addresses]
    return any(taken)


def _send(message: Message, address: str, timeout: float) -> bool:
    service = address.partition("://")[0] if "://" in address else "an address without ://"
    try:
        if service in ("http", "https"):
            _post(message, address, timeout)
            fault = ""
        else:
            fault = _send_by_apprise(message, address)
    except (OSError, HTTPException, ValueError) as error:
        fault = str(error)
    if fault:
        log.error("The service %s did not take the notification (%s); check its address.", service, fault)
    else:
        log.info("The service %s has the notification.", service)
    return not fault


def _post(message: Message, address: str, timeout: float) -> None:
    """POST `{"text": …}`, which Slack, Mattermost and many others show."""
    body = json.dumps({"text": f"{message.title}\n{message.body}"}).encode()
    with urlopen(Request(address, body, {"Content-Type": "application/json"}, method="POST"), timeout=timeout):
        pass


def _send_by_apprise(message: Message, address: str) -> str:
    """Why Apprise could not send the message; empty if it could."""
    import apprise

    services = apprise.Apprise()
    # What Apprise logs of an address may be a secret.
    apprise.logger.disabled = True
    if not services.add(address):
        return "Apprise knows no such address; see https://github.com/caronc/apprise/wiki"
    taken = services.notify(message.body, message.title, body_format=apprise.NotifyFormat.TEXT)
    return "" if taken else "it refused, or does not answer"


def _take_due(
    connection: extensions.connection, notification: Notification, services: Services, now: datetime
) -> tuple[list[Unsent], int]:
    """Count a notification; those to send now, which count as sent, and how many the hour has no room for."""
    _ensure_table(connection)
    with locked(connection, TABLE) as cursor:
        values = {"title": notification.title, "reason": notification.reason, "links": Json(notification.links)}
        cursor.execute(_COUNT, {**values, "key": notification.key, "now": now})
        cursor.execute(f"delete from {TABLE} where count = 0 and last_at < %s", (now - _REMEMBERED,))
        cursor.execute(f"select count(*) from {TABLE} where sent_at > %s", (now - _HOUR,))
        sent_lately = (cursor.fetchone() or (0,))[0]
        cursor.execute(_UNSENT)
        unsent = {
            key: Unsent(Notification(title, reason, links), *others)
            for key, title, reason, links, *others in cursor.fetchall()
        }
        due, waiting = choose_due(list(unsent.values()), sent_lately, services, now)
        taken = [key for key, one in unsent.items() if one in due]
        cursor.execute(f"update {TABLE} set count = 0, sent_at = %s where key = any(%s)", (now, taken))
    return due, waiting


def _give_back(connection: extensions.connection, unsent: Unsent) -> None:
    """Make a notification that no service took unsent again."""
    with locked(connection, TABLE) as cursor:
        cursor.execute(_GIVE_BACK, (unsent.count, unsent.first_at, unsent.sent_at, unsent.notification.key))


def _ensure_table(connection: extensions.connection) -> None:
    ensure_schema(connection)
    with locked(connection, TABLE) as cursor:
        cursor.execute(_ENSURE)
