"""Daily prices of US stocks: what each did, how it moves, and how the whole market does."""

from __future__ import annotations

from include.datasets.market.calendar import FIRST_DAY, NEW_YORK
from include.datasets.market.features import HISTORY_DAYS, make_features
from include.datasets.market.sources import make_source
from include.datasets.market.tables import TABLES
from include.lifecycle.specs import DatasetSpec

MARKET = DatasetSpec(
    name="market",
    title="Market",
    description="Daily prices of US stocks: what each did, how it moves, and how the whole market does.",
    key=("symbol",),
    timezone="America/New_York",
    schedule="0 2 * * 2-6",  # the nights after the sessions of Monday to Friday
    first_day=FIRST_DAY,
    calendar=NEW_YORK,
    revisit_days=5,
    chunk_days=250,
    tables=TABLES,
    make_source=make_source,
    features=make_features,
    history_days={"prices": HISTORY_DAYS},
)
