"""The sample company in a real PostgreSQL."""

from datetime import date, timedelta
from typing import Any

import pytest

from include.samples.company import Company
from include.samples.database import ensure_history, latest_day, write_days
from include.samples.poison import PoisonKind, poison, restore
from include.samples.settings import BadRows, CompanySettings, Drift
from tests.unit.samples.worlds import table, versions

SETTINGS = CompanySettings(customers=150, history_days=12, seed=2, bad_rows=BadRows(rate=0.02))
FIRST_DAY = date(2026, 3, 1)
LAST_DAY = FIRST_DAY + timedelta(days=11)
TABLES = ("customers", "usage_daily", "invoices", "churns")
ALL_DAYS = [FIRST_DAY + timedelta(days=offset) for offset in range(12)]

# What was known at the end of a day, told from the tables as they are now.
AS_OF = {
    "customers": "SELECT customer_id, contract, payment_method, monthly_charges FROM telecom.customers"
    " WHERE valid_from <= %(day)s AND (valid_to IS NULL OR valid_to > %(day)s)",
    "usage_daily": "SELECT * FROM telecom.usage_daily WHERE day <= %(day)s",
    "invoices": "SELECT invoice_id, due_on, amount, CASE WHEN paid_on <= %(day)s THEN paid_on END,"
    " CASE WHEN paid_on <= %(day)s THEN is_late END FROM telecom.invoices WHERE issued_on <= %(day)s",
    "churns": "SELECT * FROM telecom.churns WHERE recorded_on <= %(day)s",
}


def rows(connection: Any, query: str, day: date | None = None) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query, {"day": day})
        return sorted(cursor.fetchall(), key=repr)


def contents(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {name: rows(connection, f"SELECT * FROM telecom.{name}") for name in TABLES}


def test_the_first_start_fills_the_history_and_later_ones_only_what_is_missing(postgres: Any) -> None:
    assert latest_day(postgres) is None
    assert ensure_history(postgres, SETTINGS, LAST_DAY) == ALL_DAYS
    assert latest_day(postgres) == LAST_DAY

    assert ensure_history(postgres, SETTINGS, LAST_DAY) == []
    assert ensure_history(postgres, SETTINGS, LAST_DAY + timedelta(days=2)) == [
        LAST_DAY + timedelta(days=1),
        LAST_DAY + timedelta(days=2),
    ]


def test_the_tables_hold_what_the_days_of_the_company_say(postgres: Any) -> None:
    company = Company(SETTINGS, FIRST_DAY)
    days = tuple(company.days(FIRST_DAY, LAST_DAY))

    write_days(postgres, company, ALL_DAYS)

    kept = ("customer_id", "valid_from", "valid_to", "contract")
    stored = rows(postgres, f"SELECT {', '.join(kept)} FROM telecom.customers")
    assert stored == sorted(versions(days).select(kept).rows(), key=repr)
    assert any(valid_to is not None and valid_to <= LAST_DAY for _, _, valid_to, _ in stored)
    paid = dict(table(days, "payments").select("invoice_id", "paid_on").rows())
    completed = rows(postgres, "SELECT invoice_id, paid_on FROM telecom.invoices")
    assert {invoice for invoice, _ in completed} & paid.keys()
    assert all(paid_on == paid[invoice] for invoice, paid_on in completed if invoice in paid)


def test_a_day_written_again_changes_nothing(postgres: Any) -> None:
    company = Company(SETTINGS, FIRST_DAY)
    assert write_days(postgres, company, ALL_DAYS) == ALL_DAYS
    before = contents(postgres)

    assert write_days(postgres, company, ALL_DAYS[3:6]) == []

    assert contents(postgres) == before
    assert all(before.values())


def test_history_written_in_pieces_equals_history_written_at_once(
    postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = Company(SETTINGS, FIRST_DAY)
    write_days(postgres, company, ALL_DAYS)
    at_once = contents(postgres)
    with postgres, postgres.cursor() as cursor:
        cursor.execute("DROP SCHEMA telecom, sample_world CASCADE")
    monkeypatch.setattr("include.samples.database._USAGE_ROWS_PER_TRANSACTION", 1)

    write_days(postgres, company, ALL_DAYS[:5])
    write_days(postgres, company, ALL_DAYS[5:])

    assert contents(postgres) == at_once


def test_what_was_known_at_the_end_of_a_day_stays_the_same_as_days_pass(postgres: Any) -> None:
    drifting = SETTINGS.model_copy(update={"drift": Drift(kind="price_rise", start=8)})
    known = ALL_DAYS[6]
    write_days(postgres, Company(drifting, FIRST_DAY), ALL_DAYS[:7])
    before = {name: rows(postgres, query, known) for name, query in AS_OF.items()}

    write_days(postgres, Company(drifting, FIRST_DAY), ALL_DAYS[7:])

    assert {name: rows(postgres, query, known) for name, query in AS_OF.items()} == before


def test_a_failed_write_leaves_nothing_of_its_days(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    company = Company(SETTINGS, FIRST_DAY)
    write_days(postgres, company, ALL_DAYS[:5])
    before = contents(postgres)
    monkeypatch.setattr("include.samples.database._COMPLETE_INVOICES", "SELECT 1 / 0")

    with pytest.raises(Exception, match="division by zero"):
        write_days(postgres, company, ALL_DAYS)

    assert contents(postgres) == before
    assert latest_day(postgres) == ALL_DAYS[4]


def test_a_gap_between_days_is_refused(postgres: Any) -> None:
    with pytest.raises(ValueError, match="the next day of the company is 2026-03-01"):
        write_days(postgres, Company(SETTINGS, FIRST_DAY), ALL_DAYS[1:])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 3},
        {"customers": 151},
        {"label_delay_days": 1},
        {"drift": Drift(kind="price_rise", start=LAST_DAY)},
    ],
)
def test_settings_that_would_rewrite_the_past_are_refused(postgres: Any, change: dict[str, Any]) -> None:
    ensure_history(postgres, SETTINGS, LAST_DAY)

    with pytest.raises(ValueError, match=next(iter(change))):
        ensure_history(postgres, SETTINGS.model_copy(update=change), LAST_DAY + timedelta(days=1))


def test_the_future_can_be_changed(postgres: Any) -> None:
    ensure_history(postgres, SETTINGS, LAST_DAY)
    tomorrow = LAST_DAY + timedelta(days=1)
    worse = SETTINGS.model_copy(
        update={"drift": Drift(kind="price_rise", start=tomorrow), "bad_rows": BadRows(rate=0.5)}
    )

    assert ensure_history(postgres, worse, tomorrow) == [tomorrow]

    [(negative, everything)] = rows(
        postgres,
        "SELECT count(*) FILTER (WHERE data_mb < 0 OR customer_id IS NULL), count(*)"
        " FROM telecom.usage_daily WHERE day = %(day)s",
        tomorrow,
    )
    assert negative > 0.2 * everything


@pytest.mark.parametrize("kind", ["half_broken", "empty", "missing_column"])
def test_a_poisoned_day_can_be_restored(postgres: Any, kind: PoisonKind) -> None:
    ensure_history(postgres, SETTINGS, LAST_DAY)
    before = contents(postgres)

    poison(postgres, LAST_DAY, kind)
    poisoned = rows(postgres, "SELECT row_to_json(usage)::text FROM telecom.usage_daily AS usage")
    with pytest.raises(ValueError, match="Call restore first"):
        poison(postgres, LAST_DAY, kind)
    restore(postgres)

    assert rows(postgres, "SELECT row_to_json(usage)::text FROM telecom.usage_daily AS usage") != poisoned
    assert contents(postgres) == before


def test_a_half_broken_day_has_half_of_its_rows_negative(postgres: Any) -> None:
    flawless = SETTINGS.model_copy(update={"bad_rows": BadRows(rate=0)})
    ensure_history(postgres, flawless, LAST_DAY)

    poison(postgres, LAST_DAY, "half_broken")

    [(share,)] = rows(
        postgres, "SELECT avg((data_mb < 0)::int)::float FROM telecom.usage_daily WHERE day = %(day)s", LAST_DAY
    )
    assert share == pytest.approx(0.5, abs=0.1)
