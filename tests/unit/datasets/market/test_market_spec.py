"""The market dataset says of itself what the engine needs, and is light to import."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

from include.datasets.market import MARKET
from include.datasets.market.calendar import NEW_YORK
from include.datasets.market.features import HISTORY_DAYS, RETURNS

ROOT = Path(__file__).parents[4]
HEAVY = {"pandas", "sklearn", "great_expectations", "exchange_calendars", "httpx", "psycopg2"}


def test_importing_it_loads_nothing_heavy() -> None:
    code = f"import include.datasets.market, sys; print(sorted({HEAVY!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_its_days_are_sessions_and_its_history_is_that_of_the_features() -> None:
    assert MARKET.calendar == NEW_YORK
    assert MARKET.history_days == {"prices": HISTORY_DAYS}


def test_the_history_holds_all_returns_even_of_a_symbol_that_missed_fifteen_sessions() -> None:
    sessions = NEW_YORK.days(date(1980, 1, 2), date(2026, 11, 20))

    spans = [(last - first).days for first, last in zip(sessions, sessions[RETURNS + 15 :], strict=False)]

    assert max(spans) <= HISTORY_DAYS
