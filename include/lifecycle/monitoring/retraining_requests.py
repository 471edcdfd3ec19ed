"""Requests for a training, as rows of `ml.retraining`: asked for, taken by a run, done.

A run of the training takes the request that is open, whether an event woke it or its schedule. A request of a run
that died stays `taken` until the next run takes it over: of one model, one training runs at a time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from psycopg2.extras import Json

from include.lifecycle.monitoring.retraining_policy import RetrainingDecision
from include.lifecycle.storage.migrations import migrate
from include.lifecycle.storage.warehouse import locked

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

State = Literal["open", "taken", "done"]

MIGRATIONS = (
    """
create table ml.retraining (
    id text primary key,
    recorded_at timestamptz not null default clock_timestamp(),
    model text not null,
    asked_on date not null,
    reasons text not null,
    evidence jsonb not null,
    state text not null default 'open' check (state in ('open', 'taken', 'done')),
    attempts integer not null default 0,
    run_id text,
    outcome text
);
create unique index retraining_pending on ml.retraining (model) where state <> 'done';
""",
)

_SEPARATOR = "\n"
_COLUMNS = "id, model, asked_on, reasons, state, attempts, run_id, outcome"


@dataclass(frozen=True)
class Request:
    """A request for a training.

    Attributes
    ----------
    asked_on : day of the report that asked.
    attempts : how many runs have taken it.
    run_id : the run that took it last.
    outcome : what came of the last run; None before that.
    """

    id: str
    model: str
    asked_on: date
    reasons: str
    state: State
    attempts: int
    run_id: str | None
    outcome: str | None

    @property
    def reason(self) -> str:
        """Why it was made, in one line."""
        return f"Requested on {self.asked_on}: {self.reasons.replace(_SEPARATOR, ' ')}"


def make(connection: extensions.connection, decision: RetrainingDecision) -> bool:
    """Record the request of a decision to train; False where it is there, or the model has a pending one."""
    migrate(connection, "retraining", MIGRATIONS)
    evidence = decision.evidence
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into ml.retraining (id, model, asked_on, reasons, evidence) values %s on conflict do nothing",
            [
                (
                    decision.request,
                    evidence.model,
                    evidence.day,
                    _SEPARATOR.join(decision.reasons),
                    Json(evidence.model_dump(mode="json")),
                )
            ],
        )
        return bool(cursor.rowcount)


def pending(connection: extensions.connection, model: str) -> Request | None:
    """The request of a model that is open or taken, if any."""
    migrate(connection, "retraining", MIGRATIONS)
    with connection, connection.cursor() as cursor:
        return _select(cursor, "model = %s and state <> 'done'", model)


def made_since(connection: extensions.connection, model: str, since: date) -> tuple[str, ...]:
    """The ids of the requests of a model that were asked for on `since` or later."""
    migrate(connection, "retraining", MIGRATIONS)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select id from ml.retraining where model = %s and asked_on >= %s order by id", (model, since)
        )
        return tuple(identity for (identity,) in cursor.fetchall())


def take(connection: extensions.connection, model: str, run_id: str, until: date) -> Request | None:
    """The request that a run is to answer, now taken by it; the same one again for a run that has taken one.

    Parameters
    ----------
    until : a request of a later day is left alone: the training would not see what asked for it.
    """
    migrate(connection, "retraining", MIGRATIONS)
    with locked(connection, "ml.retraining") as cursor:
        own = _select(cursor, "model = %s and run_id = %s and state <> 'open'", model, run_id)
        if own is not None:
            return own
        cursor.execute(
            "update ml.retraining set state = 'taken', run_id = %s, attempts = attempts + 1 "
            "where model = %s and state <> 'done' and asked_on <= %s",
            (run_id, model, until),
        )
        return _select(cursor, "model = %s and state = 'taken' and run_id = %s", model, run_id)


def finish(connection: extensions.connection, request: str, outcome: str) -> None:
    """Close a request with what came of it."""
    _update(connection, request, "done", outcome)


def give_back(connection: extensions.connection, request: str, cause: str, max_attempts: int) -> State:
    """Open a request again whose training failed, for the next run; after so many runs it is closed.

    Returns its state.
    """
    with connection, connection.cursor() as cursor:
        found = _select(cursor, "id = %s", request)
    attempts = found.attempts if found is not None else 0
    is_last = attempts >= max_attempts
    outcome = f"Closed after {attempts} failed trainings. {cause}" if is_last else cause
    state: State = "done" if is_last else "open"
    _update(connection, request, state, outcome)
    return state


def _update(connection: extensions.connection, request: str, state: State, outcome: str) -> None:
    with connection, connection.cursor() as cursor:
        # What is done stays so, also where a task of its run is cleared later.
        cursor.execute(
            "update ml.retraining set state = %s, outcome = %s where id = %s and state <> 'done'",
            (state, outcome, request),
        )
        if cursor.rowcount:
            log.info("Request %s is %s. %s", request, state, outcome)


def _select(cursor: extensions.cursor, condition: str, *values: Any) -> Request | None:
    cursor.execute(f"select {_COLUMNS} from ml.retraining where {condition}", values)
    row = cursor.fetchone()
    return None if row is None else Request(*row)
