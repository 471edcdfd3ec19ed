"""The ledger: which version of a model was in force, since when, and why; append-only, in PostgreSQL.

The ledger is the truth, and the registry's aliases follow from it: after any interruption they are set again
from a replay of the entries.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from psycopg2.extras import Json

from include.lifecycle.promotion.actions import (
    ANSWERS,
    BESIDE_ANY_CHAMPION,
    CHAMPION_CHANGES,
    REFITS,
    VERDICTS,
    Action,
    alternatives,
)
from include.lifecycle.promotion.ledger_migrations import MIGRATIONS
from include.lifecycle.storage.migrations import migrate
from include.lifecycle.storage.warehouse import locked

if TYPE_CHECKING:
    from psycopg2 import extensions


class LedgerConflictError(Exception):
    """The champion changed between the decision and its recording."""


@dataclass(frozen=True)
class Entry:
    """A decision about a model.

    Attributes
    ----------
    action : see `actions.Action`.
    candidate : the version that was evaluated, proposed, approved, rejected, refitted, rolled back to, made
        challenger or withdrawn as one, or that could not be used; of a repair, one that an alias names again.
    from_version, to_version : the champion before and after; equal where it was kept, None where there is none.
    effective_from : the first day whose data `to_version` is for, the last day of data that its training knew: it
        has seen the future of the days before. Without meaning where the champion was kept.
    evidence : what the decision was made from, as JSON.
    digests : SHA-256 of the model file, in hexadecimal, by version (as text): of each that was evaluated
        or came into force.
    """

    model: str
    action: Action
    candidate: int
    from_version: int | None
    to_version: int | None
    effective_from: date
    actor: str
    reason: str
    evidence: Mapping[str, Any]
    run_id: str
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Aliases:
    """The versions that the registry's aliases must point at."""

    champion: int | None = None
    challenger: int | None = None


_COLUMNS = ", ".join(column.name for column in fields(Entry))


def record(connection: extensions.connection, entry: Entry) -> Entry:
    """Append an entry and commit; a candidate keeps the verdict, or the answer, that the same run recorded first.

    What changes no champion, such as a fallback, is recorded beside the present one. Returns the entry that the
    ledger holds.

    Raises
    ------
    LedgerConflictError
        If the present champion is not `entry.from_version`.
    """
    migrate(connection, "ledger", MIGRATIONS)
    with locked(connection, "ml.ledger") as cursor:
        present = _find(cursor, entry)
        if present is not None:
            return present
        champion = _champion(cursor, entry.model)
        if entry.action in BESIDE_ANY_CHAMPION:
            entry = replace(entry, from_version=champion, to_version=champion)
        if champion != entry.from_version:
            raise LedgerConflictError(
                f"Model {entry.model!r}: the decision replaces version {entry.from_version}, but meanwhile "
                f"version {champion} became champion; clear the task, so that candidate {entry.candidate} "
                "is compared with that one."
            )
        values = {**asdict(entry), "evidence": Json(entry.evidence), "digests": Json(entry.digests)}
        cursor.execute(f"insert into ml.ledger ({_COLUMNS}) values %s", [tuple(values.values())])
    return entry


def entries(connection: extensions.connection, model: str) -> list[Entry]:
    """All entries of a model, oldest first."""
    migrate(connection, "ledger", MIGRATIONS)
    with connection, connection.cursor() as cursor:
        return _entries(cursor, model)


@contextmanager
def setting_aliases(connection: extensions.connection, model: str) -> Iterator[list[Entry]]:
    """All entries of a model, oldest first, for a block that compares or sets its aliases.

    One at a time gets in, so the last to set the aliases knows the last entry.
    """
    migrate(connection, "ledger", MIGRATIONS)
    with locked(connection, f"aliases of {model}") as cursor:
        yield _entries(cursor, model)


def first_verdict(history: Iterable[Entry], version: int) -> Entry:
    """The first verdict on a version, of a model's entries, oldest first.

    Raises
    ------
    KeyError
        If there is no verdict on the version.
    """
    entry = find_verdict(history, version)
    if entry is None:
        raise KeyError(
            f"Version {version} has no verdict; clear the task `evaluate_gate` of the run that made it."
        )
    return entry


def find_verdict(history: Iterable[Entry], version: int) -> Entry | None:
    """As `first_verdict`, but None where there is none."""
    return _first(history, version, VERDICTS)


def find_answer(history: Iterable[Entry], version: int) -> Entry | None:
    """The answer to the proposal of a version, or None where it has none yet, or was not proposed."""
    return _first(history, version, ANSWERS)


def unanswered(history: Sequence[Entry]) -> list[Entry]:
    """The proposals that have no answer, oldest first."""
    proposals = (entry for entry in history if entry.action == "propose")
    return [entry for entry in proposals if find_answer(history, entry.candidate) is None]


def find_refit(history: Iterable[Entry], parent: int) -> Entry | None:
    """What became of the refit of a version, or None where there is none yet."""
    found = (entry for entry in history if entry.action in REFITS and entry.evidence.get("parent") == parent)
    return next(found, None)


def parents(history: Iterable[Entry]) -> dict[int, int]:
    """The version that the gate judged in its place, by refitted version that became champion."""
    return {
        entry.candidate: entry.from_version
        for entry in history
        if entry.action == "refit" and entry.from_version is not None
    }


def _first(history: Iterable[Entry], version: int, actions: Container[Action]) -> Entry | None:
    """The first entry about a version with one of these actions, or None."""
    return next((entry for entry in history if entry.candidate == version and entry.action in actions), None)


def standing_verdict(history: Sequence[Entry], version: int) -> Entry:
    """The first verdict on a version, with what became of the version last, who decided that, and why.

    Raises
    ------
    KeyError
        If there is no verdict on the version.
    """
    verdict, last = first_verdict(history, version), last_word(history, version)
    if last is None or last == verdict:
        return verdict
    said = last.reason if last.action in ANSWERS else f"{last.actor}: {last.reason}"
    return replace(
        verdict,
        action=last.action,
        from_version=last.from_version,
        to_version=last.to_version,
        actor=last.actor,
        reason=f"{said}\n{verdict.reason}",
    )


def last_word(history: Iterable[Entry], version: int) -> Entry | None:
    """The last entry by which a version was judged, came into force or was rolled back; None where there is none.

    A champion that is compared with itself keeps what it has.
    """
    found = None
    for entry in history:
        is_about = entry.candidate == version and entry.action in VERDICTS | ANSWERS | REFITS | CHAMPION_CHANGES
        is_rollback = entry.action == "rollback" and entry.to_version != version
        if (is_about and entry.from_version != version) or (is_rollback and entry.from_version == version):
            found = entry
    return found


def champion(connection: extensions.connection, model: str) -> int | None:
    """The version in force now, or None where none ever was."""
    migrate(connection, "ledger", MIGRATIONS)
    with connection, connection.cursor() as cursor:
        return _champion(cursor, model)


def in_force(connection: extensions.connection, model: str) -> tuple[datetime, Entry] | None:
    """The entry by which the present champion came into force, and when it was recorded; None before the first."""
    migrate(connection, "ledger", MIGRATIONS)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"select recorded_at, {_COLUMNS} from ml.ledger "
            "where model = %s and to_version is distinct from from_version order by id desc limit 1",
            (model,),
        )
        row = cursor.fetchone()
    return None if row is None else (row[0], Entry(*row[1:]))


def choices_as_of(history: Iterable[Entry], day: date) -> tuple[int, ...]:
    """The versions to score data of `day` with, best first: those in force whose training had not seen later days.

    `history` is a model's entries, oldest first. The first version is the champion as of the day, the others are
    those it replaced, the latest first, for where it cannot be used. One that was rolled back is none of them
    until it comes into force again, nor is the parent of a refitted one. Empty where each was trained on data
    after `day`.
    """
    history, chosen = list(history), list[int]()
    parent_of = parents(history)
    for entry in history:
        if entry.action in CHAMPION_CHANGES and entry.effective_from <= day and entry.to_version is not None:
            gone = {entry.to_version}
            if entry.action == "rollback" and entry.from_version is not None:
                gone |= {entry.from_version, parent_of.get(entry.from_version, entry.from_version)}
            chosen = [entry.to_version, *(version for version in chosen if version not in gone)]
    return tuple(chosen)


def champion_as_of(history: Iterable[Entry], day: date) -> int | None:
    """The version to score data of `day` with, or None; see `choices_as_of`."""
    return next(iter(choices_as_of(history, day)), None)


def former_champions(history: Iterable[Entry]) -> tuple[int, ...]:
    """The versions that were champion before the present one, the latest first."""
    found: list[int] = []
    for entry in history:
        if entry.action in CHAMPION_CHANGES and entry.to_version is not None:
            found = [entry.to_version, *(version for version in found if version != entry.to_version)]
    return tuple(found[1:])


def recorded(history: Iterable[Entry], action: Action, run_id: str) -> Entry | None:
    """What a run recorded of an action, or None."""
    return next((entry for entry in history if (entry.action, entry.run_id) == (action, run_id)), None)


def in_force_from(history: Iterable[Entry], version: int) -> date | None:
    """The first day whose data a version was for when it first became champion; None where it never was."""
    starts = (
        entry.effective_from
        for entry in history
        if entry.action in CHAMPION_CHANGES and entry.to_version == version
    )
    return next(starts, None)


def digest_of(history: Iterable[Entry], version: int) -> str | None:
    """The SHA-256 of a version's model file, as it was first recorded, or None where it never was."""
    key = str(version)
    return next((entry.digests[key] for entry in history if key in entry.digests), None)


def replay(history: Iterable[Entry]) -> Aliases:
    """The aliases that a model's entries, oldest first, lead to.

    A challenger is a version that was sent to score in shadow, until it is withdrawn or becomes champion; one that
    the gate refused is none.

    Raises
    ------
    ValueError
        If an entry does not continue where the one before it ended.
    """
    aliases = Aliases()
    for entry in history:
        if entry.from_version != aliases.champion:
            raise ValueError(
                f"Model {entry.model!r}: the entry of run {entry.run_id!r} starts from version "
                f"{entry.from_version}, but the champion then was {aliases.champion}; the ledger is damaged."
            )
        challenger = _challenger(entry, aliases.challenger)
        aliases = Aliases(entry.to_version, None if challenger == entry.to_version else challenger)
    return aliases


def _challenger(entry: Entry, before: int | None) -> int | None:
    """The challenger after an entry, where the champion is another version."""
    if entry.action == "shadow":
        return entry.candidate
    return None if entry.action == "withdraw" and entry.candidate == before else before


def _find(cursor: extensions.cursor, entry: Entry) -> Entry | None:
    """The entry of the same run that stands in the place of another one."""
    cursor.execute(
        f"select {_COLUMNS} from ml.ledger "
        "where model = %s and run_id = %s and candidate = %s and action = any(%s)",
        (entry.model, entry.run_id, entry.candidate, sorted(alternatives(entry.action))),
    )
    row = cursor.fetchone()
    return None if row is None else Entry(*row)


def _entries(cursor: extensions.cursor, model: str) -> list[Entry]:
    cursor.execute(f"select {_COLUMNS} from ml.ledger where model = %s order by id", (model,))
    return [Entry(*row) for row in cursor.fetchall()]


def _champion(cursor: extensions.cursor, model: str) -> int | None:
    cursor.execute("select to_version from ml.ledger where model = %s order by id desc limit 1", (model,))
    row = cursor.fetchone()
    return None if row is None else row[0]
