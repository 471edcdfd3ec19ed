"""A lake with a history of customers who leave for reasons that their features show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from include.lifecycle.ingestion.feature_version import version_input
from include.lifecycle.storage.lake import Lake, RunInfo
from include.lifecycle.training.record import TrainingRequest
from include.models.churn import CHURN
from tests.unit.models.churn.customers import customers, outcomes

RUN = RunInfo("history", datetime(2026, 1, 1, tzinfo=UTC), "test")
CHURNS = CHURN.dataset.clean(CHURN.label.table)
FIRST_DAY = date(2026, 1, 1)
CUSTOMERS = 600


def day(number: int) -> date:
    """The day so many days after the first."""
    return FIRST_DAY + timedelta(number)


def request(as_of: date, trials: int = 2) -> TrainingRequest:
    """A training as of a day."""
    return TrainingRequest(as_of, trials, seed=7, run=RUN, reason="test")


def features_of(snapshot: date) -> pl.DataFrame:
    """Features of a day's customers, who are customers on that day only."""
    frame = customers(CUSTOMERS, seed=snapshot.toordinal())
    return frame.with_columns(customer_id=pl.lit(f"{snapshot}-") + pl.col("customer_id"))


def labels_of(snapshot: date) -> np.ndarray:
    """Who of a day's customers leaves within 30 days."""
    return outcomes(features_of(snapshot), seed=snapshot.toordinal())


def publish_history(
    lake: Lake, scratch: Path, snapshots: Sequence[date], until: date, without: Iterable[date] = ()
) -> None:
    """Features of the snapshot days, and the clean churns of each day to `until` except the days `without`."""
    prefix, version = CHURN.dataset.features_prefix, version_input(CHURN.dataset)
    for snapshot in snapshots:
        lake.publish_frame(prefix, snapshot, features_of(snapshot), run=RUN, scratch=scratch, inputs=version)
    churns = pl.concat(churns_of(snapshot) for snapshot in snapshots)
    recorded_days = {day(number) for number in range((until - FIRST_DAY).days + 1)} - set(without)
    for recorded_on in sorted(recorded_days):
        rows = churns.filter(pl.col("recorded_on") == recorded_on)
        lake.publish_frame(CHURNS, recorded_on, rows, run=RUN, scratch=scratch)


def churns_of(snapshot: date) -> pl.DataFrame:
    """The departures of a day's customers."""
    leavers = features_of(snapshot)["customer_id"].filter(pl.Series(labels_of(snapshot) == 1))
    after = np.random.default_rng(snapshot.toordinal()).integers(1, 31, len(leavers))
    churned_on = pl.Series([snapshot + timedelta(int(days)) for days in after], dtype=pl.Date)
    recorded_on = churned_on + timedelta(CHURN.label.delay_days)
    return pl.DataFrame({"customer_id": leavers, "churned_on": churned_on, "recorded_on": recorded_on})
