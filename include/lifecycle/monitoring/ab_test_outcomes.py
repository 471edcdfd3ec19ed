"""What became of the keys of both arms of an A/B test, looked at once, when the horizon is reached."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl
from pydantic import ValidationError

from include.lifecycle.modelling.tasks import task_of
from include.lifecycle.monitoring.performance_verdict import KIND, VERDICT, PerformanceVerdict
from include.lifecycle.promotion import ab_test, ledger
from include.lifecycle.promotion.ab_test import Split
from include.lifecycle.promotion.ab_test_policy import AbTestEvidence, AbTestResult, Arm, decide
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LakeError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Looked:
    """What is known of a test, None without one, and path and digest of the report that had the verdict."""

    result: AbTestResult | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


def look(model: ModelSpec, lake: Lake, day: date, history: Sequence[ledger.Entry], rows: pl.DataFrame) -> Looked:
    """The newest test that had begun by the end of `day` and has split days among those that a report looks at.

    A verdict that a report has given stands: it is read from there, whatever has become of the data since.

    Parameters
    ----------
    history : the model's entries in the ledger, oldest first.
    rows : the predictions whose outcomes are known, as `outcomes.parquet` has them.
    """
    looked_at = day - timedelta(model.drift.outcome_days)
    begun = [split for split in ab_test.splits(history) if split.test.first_day <= day and split.has_days]
    if not begun or (begun[-1].last_day or day) < looked_at:
        return Looked()
    split = begun[-1]
    given = _given(model, lake, day, split)
    if given.result is None:
        return Looked(decide(_evidence(model, split, rows, looked_at)))
    ended = {"has_ended": split.last_day is not None}
    return Looked(given.result.model_copy(update=ended), given.inputs)


def _given(model: ModelSpec, lake: Lake, day: date, split: Split) -> Looked:
    """The verdict of a report until `day`, also of that of the day itself; none where none has one."""
    prefix = model.report_prefix(KIND)
    for reported in reversed(lake.days(prefix, split.test.first_day, day)):
        try:
            pinned = lake.pin(prefix, [reported])
            found = PerformanceVerdict.model_validate(pinned.read_json(reported, VERDICT)).ab_test
        except (LakeError, ValidationError) as error:
            log.warning("The report of %s says nothing of the A/B test: %s", reported, error)
            continue
        if found is not None and found.test == split.test and found.is_final:
            return Looked(found, pinned.inputs if reported < day else {})
    return Looked()


def _evidence(model: ModelSpec, split: Split, rows: pl.DataFrame, looked_at: date) -> AbTestEvidence:
    """Before the horizon, and of a test that ended before it, how many days are known and nothing more.

    So it is where the rows begin after the test: other days than those that were stated are not compared.

    Parameters
    ----------
    looked_at : the first day whose rows a report has.
    """
    days = _known_days(split, rows)[: split.test.days]
    has_ended = split.last_day is not None
    evidence = AbTestEvidence(
        test=split.test,
        champion=split.champion,
        challenger=split.challenger,
        days=days,
        has_ended=has_ended,
        looked_at=looked_at,
        min_keys=model.drift.min_rows,
    )
    if has_ended or evidence.is_too_late or len(days) < split.test.days:
        return evidence
    key = model.dataset.key
    labels = rows.filter(pl.col("dt").is_in(days)).group_by(key, maintain_order=True)
    keys = labels.agg(mean=pl.col("label").mean(), most=pl.col("label").max())
    is_challengers = split.test.is_challengers(keys.select(key))
    arms = {"champion_arm": keys.filter(~is_challengers), "challenger_arm": keys.filter(is_challengers)}
    return evidence.model_copy(update={name: _arm(model, arm) for name, arm in arms.items()})


def _known_days(split: Split, rows: pl.DataFrame) -> tuple[date, ...]:
    """The split days with known outcomes, oldest first; not those on which one version scored all keys."""
    if "model_version" not in rows.columns:
        return ()
    both = rows.filter(pl.col("model_version").is_in([split.champion, split.challenger])).group_by("dt")
    scored = both.agg(pl.col("model_version").n_unique()).filter(pl.col("model_version") == 2)
    return tuple(day for day in scored["dt"].sort() if split.covers(day))


def _arm(model: ModelSpec, keys: pl.DataFrame) -> Arm:
    """The keys of an arm, each with the mean of its labels, and the largest, which says whether one was 1."""
    outcomes = keys["mean"].cast(pl.Float64).to_numpy()
    return Arm(
        keys=keys.height,
        mean=float(outcomes.mean()) if keys.height else 0.0,
        deviation=float(outcomes.std(ddof=1)) if keys.height > 1 else 0.0,
        shortage=task_of(model).label_shortfall(keys["most"]),
    )
