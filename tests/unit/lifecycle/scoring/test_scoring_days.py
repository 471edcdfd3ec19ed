"""A day that cannot be scored or published stops no other; an outage does, because a retry helps."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import psycopg2
import pytest

from include.lifecycle.modelling import model_files
from include.lifecycle.promotion import registry
from include.lifecycle.scoring import publishing, scorers, scoring
from include.lifecycle.storage.lake import CorruptFileError, RunInfo
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY

DAYS = [date(2026, 3, day) for day in (1, 2, 3)]
RUN = RunInfo("run", datetime(2026, 3, 4, tzinfo=UTC), "abc", "")
OF_ONE_DAY = [
    psycopg2.errors.UntranslatableCharacter("A NUL."),
    psycopg2.errors.NumericValueOutOfRange("Too large."),
    ZeroDivisionError("Nobody is here."),
    ValueError("A letter is no number."),
    CorruptFileError("A byte is wrong."),
]
OUTAGES = [OSError("S3 is out of reach."), psycopg2.OperationalError("PostgreSQL is out of reach.")]


def _name(error: Exception) -> str:
    return type(error).__name__


def fail_on_the_second(error: Exception) -> Any:
    def work(model: Any, lake: Any, *places: Any) -> dict[str, Any]:
        if DAYS[1] in places:
            raise error
        return {"rows": 1}

    return work


def score(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[list[date], dict[date, str]]:
    monkeypatch.setattr(scoring, "score", fail_on_the_second(error))
    lake: Any = None
    scored = dict(scoring.score_days(CHURN, lake, lake, DAYS, scorers.Scorer(None, 1), RUN))
    errors = {day: error for day, error in scored.items() if error is not None}
    return [day for day in scored if day not in errors], errors


def publish(monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[list[dict[str, Any]], dict[date, str]]:
    monkeypatch.setattr(publishing, "publish", fail_on_the_second(error))
    lake: Any = None
    return publishing.publish_days(CHURN, lake, lake, DAYS, RUN)


@pytest.mark.parametrize("error", OF_ONE_DAY, ids=_name)
@pytest.mark.parametrize("work", [score, publish])
def test_a_fault_of_one_day_stops_no_other(monkeypatch: pytest.MonkeyPatch, work: Any, error: Exception) -> None:
    done, errors = work(monkeypatch, error)

    assert len(done) == 2
    assert errors == {DAYS[1]: str(error)}


@pytest.mark.parametrize("error", OUTAGES, ids=_name)
@pytest.mark.parametrize("work", [score, publish])
def test_an_outage_is_no_fault_of_a_day(monkeypatch: pytest.MonkeyPatch, work: Any, error: Exception) -> None:
    with pytest.raises(type(error)):
        work(monkeypatch, error)


def test_each_day_that_is_not_published_is_named_with_the_reason() -> None:
    sentences = publishing.unpublished_days(
        ["2026-03-03", "2026-03-01", "2026-03-02"], {"2026-03-01"}, {"2026-03-02": "No."}
    )

    assert sentences == ["2026-03-02: No.", "2026-03-03: its task failed; the log of that task says why."]


INTERVAL = {"scale": "volatility_21d", "multiple": "2.5", "nominal": "0.8", "measured": "0.79"}


@pytest.mark.parametrize("lost", [*INTERVAL, None])
def test_a_version_that_has_lost_its_interval_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, lost: str | None
) -> None:
    tags = {f"interval_{name}": value for name, value in INTERVAL.items() if name != lost and lost is not None}
    monkeypatch.setattr(registry, "load", lambda *_: "an estimator")
    monkeypatch.setattr(registry, "version_tags", lambda *_: tags)

    fault = registry.fault("", VOLATILITY, 3, None)

    assert fault is not None
    assert fault.startswith("Version 3 of 'volatility' has lost its tags `interval_...` in MLflow")
    lake: Any = None
    with pytest.raises(model_files.UnusableModelError, match="has lost its tags"):
        scorers.load_scorer("", lake, VOLATILITY, 3, None)
    assert registry.fault("", CHURN, 3, None) is None
