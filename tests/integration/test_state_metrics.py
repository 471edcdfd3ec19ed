"""What the exporter says of a real lake and a real ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.monitoring import drift_verdict, performance_verdict
from include.lifecycle.operations import state_metrics
from include.lifecycle.operations.backup_store import Store
from include.lifecycle.operations.maintenance_policy import (
    REPORT,
    Damage,
    Decision,
    Evidence,
    MaintenanceReport,
    Outcome,
    Scope,
)
from include.lifecycle.operations.metrics import Sample
from include.lifecycle.promotion import ledger
from include.lifecycle.reporting.pages import Verdict
from include.lifecycle.scoring.prediction_files import predictions_table
from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import Lake, LakeError, LocalFile, RunInfo, partition
from include.models.churn import CHURN

NOW = datetime.now(UTC)
TODAY = NOW.date()
DAY = TODAY - timedelta(days=3)


@pytest.fixture
def publish(lake: Lake, run: RunInfo, tmp_path: Path) -> Any:
    """Publishes a day of a prefix: rows, or what a JSON file says."""

    def publish_day(prefix: str, day: date, content: dict[str, Any] | int, name: str = "verdict.json") -> None:
        if isinstance(content, int):
            rows = pl.DataFrame({"customer_id": [f"C{number}" for number in range(content)]})
            lake.publish_frame(prefix, day, rows, run=run, scratch=tmp_path)
        else:
            file = tmp_path / name
            file.write_text(json.dumps(content, default=str))
            lake.publish(prefix, day, [LocalFile(file)], run=run)

    return publish_day


def values(samples: Iterable[Sample]) -> dict[str, float]:
    """Samples as Prometheus writes them."""
    return {
        f"{sample.metric.name}{''.join(f' {value}' for value in sample.labels.values())}": float(sample.value)
        for sample in samples
    }


def promoted(version: int, day: date) -> ledger.Entry:
    return ledger.Entry("churn", "promote", version, None, version, day, "gate", "Better.", {}, "run")


def table(good: int, quarantined: int, usual: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "lines": good + quarantined,
        "rows": good + quarantined,
        "good": good,
        "good_lines": good,
        "quarantined": quarantined,
        "quarantined_lines": quarantined,
        "rules": {},
        "problems": (),
        "warnings": (),
        "usual_bad_share": usual,
    }


def test_a_backup_is_as_old_as_its_moment_and_none_is_infinitely_old(lake: Lake) -> None:
    never = Store(Lake(lake.client, "no-such-bucket"))
    lake.write_object("backups/2026-03-01T030500Z.json", b"")
    lake.write_object("backups/2026-03-02T030500Z.json", b"")
    now = datetime(2026, 3, 2, 4, 5, tzinfo=UTC)

    assert values(state_metrics.of_backups(Store(lake), now)) == {"ml_backup_age_seconds": 3600}
    assert values(state_metrics.of_backups(never, now)) == {"ml_backup_age_seconds": math.inf}
    assert values(state_metrics.of_backups(None, now)) == {"ml_backup_age_seconds": math.inf}


def test_an_empty_lake_has_no_figures_of_data(lake: Lake) -> None:
    assert values(state_metrics.of_data(lake, CUSTOMERS, NOW)) == {}
    assert values(state_metrics.of_monitoring(lake, CHURN, NOW)) == {}
    assert values(state_metrics.of_lake(lake, NOW)) == {}


def test_rows_and_lags_are_those_of_the_newest_day(lake: Lake, publish: Any) -> None:
    tables = {"customers": table(90, 10, (0.0, 0.01)), "invoices": table(100, 0, None)}
    old = {"day": DAY - timedelta(days=1), "accepted": False, "tables": {}}
    publish(CUSTOMERS.validation_prefix, DAY - timedelta(days=1), old)
    publish(CUSTOMERS.validation_prefix, DAY, {"day": DAY, "accepted": True, "tables": tables})
    publish(CUSTOMERS.features_prefix, DAY - timedelta(days=1), 1)

    found = values(state_metrics.of_data(lake, CUSTOMERS, NOW))

    assert found["ml_source_lag_days customers"] == 2
    assert found["ml_features_lag_days customers"] == 3
    assert found["ml_day_accepted customers"] == 1
    assert found["ml_rows_read customers customers"] == 100
    assert found["ml_rows_good customers customers"] == 90
    assert found["ml_rows_quarantined customers customers"] == 10
    assert found["ml_quarantine_share customers customers"] == pytest.approx(0.1)
    assert found["ml_quarantine_unusual customers customers"] == 1
    assert found["ml_quarantine_unusual customers invoices"] == 0
    assert found["ml_quarantine_share_limit customers customers"] == CUSTOMERS.table("customers").max_bad_share


def test_a_damaged_verdict_is_an_error_and_no_figure(lake: Lake, publish: Any) -> None:
    publish(CUSTOMERS.validation_prefix, DAY, {"day": DAY, "accepted": True, "tables": {}})
    [file] = lake.manifest(CUSTOMERS.validation_prefix, DAY).files
    lake.write_object(f"{partition(CUSTOMERS.validation_prefix, DAY)}/{file.name}", b"{}")

    with pytest.raises(LakeError):
        list(state_metrics.of_data(lake, CUSTOMERS, NOW))


def test_without_a_champion_its_version_is_0_and_no_day_lacks_predictions(
    lake: Lake, postgres: Any, publish: Any
) -> None:
    publish(CUSTOMERS.features_prefix, DAY, 1)

    assert values(state_metrics.of_champion(postgres, CHURN, NOW)) == {"ml_champion_version churn": 0}
    assert values(state_metrics.of_predictions(lake, postgres, CHURN, NOW)) == {
        "ml_days_without_predictions churn": 0,
        "ml_days_not_loaded churn": 0,
    }


def test_a_champion_has_an_age_and_so_has_its_training(postgres: Any) -> None:
    ledger.record(postgres, promoted(3, TODAY - timedelta(days=40)))
    later = datetime.now(UTC) + timedelta(hours=2)

    found = values(state_metrics.of_champion(postgres, CHURN, later))

    assert found["ml_champion_version churn"] == 3
    assert found["ml_champion_age_seconds churn"] == pytest.approx(7200, abs=60)
    assert found["ml_champion_training_age_days churn"] == 40 + (later.date() - TODAY).days


def test_days_with_features_a_champion_and_no_predictions_are_counted(
    lake: Lake, postgres: Any, publish: Any
) -> None:
    ledger.record(postgres, promoted(1, DAY))
    before, after = DAY - timedelta(days=1), DAY + timedelta(days=1)
    for day in (before, DAY, after):
        publish(CUSTOMERS.features_prefix, day, 5)
    publish(CUSTOMERS.features_prefix, TODAY, 0)  # features without rows have no predictions
    publish(CHURN.predictions_prefix, DAY, 5)
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)

    found = values(state_metrics.of_predictions(lake, postgres, CHURN, in_an_hour))

    assert found["ml_days_without_predictions churn"] == 1
    assert found["ml_predictions_rows churn"] == 5
    assert found["ml_predictions_age_seconds churn"] == pytest.approx(3600, abs=60)
    # The day after DAY was due at 07:30 of the day after that.
    due = datetime(after.year, after.month, after.day, 7, 30, tzinfo=UTC) + timedelta(days=1)
    overdue = max((in_an_hour - due).total_seconds(), 0)
    assert found["ml_predictions_overdue_seconds churn customers"] == pytest.approx(overdue)


def test_days_that_the_warehouse_lacks_or_has_as_they_were_are_counted(
    lake: Lake, postgres: Any, publish: Any
) -> None:
    # given: of three recent days the first is loaded, the second was scored again since, the third never was;
    # what is older than the window does not count
    days = [DAY - timedelta(days=number) for number in (2, 1, 0)]
    for day in [*days, TODAY - timedelta(days=state_metrics.WINDOW_DAYS + 1)]:
        publish(CHURN.predictions_prefix, day, 5)
    written, table = lake.written(CHURN.predictions_prefix), predictions_table(CHURN)
    for day in days[:2]:
        digest = lake.manifest(CHURN.predictions_prefix, day).digest
        with warehouse.replacing(
            postgres, table, day, pl.LazyFrame({"customer_id": ["C1"]}), key=["customer_id"]
        ) as cursor:
            warehouse.note_load(cursor, table, day, warehouse.Load(digest, written[day]), "{}")
    publish(CHURN.predictions_prefix, days[1], 6)

    # when
    found = values(state_metrics.of_predictions(lake, postgres, CHURN, NOW))

    # then
    assert found["ml_days_not_loaded churn"] == 2


def test_the_reports_give_scores_and_verdicts(lake: Lake, publish: Any) -> None:
    column = {
        "method": "wasserstein",
        "threshold": 0.1,
        "distance": 0.25,
        "exceeded": True,
        "null_rate_reference": 0,
        "null_rate_current": 0,
        "reference_rows": 900,
        "current_rows": 900,
        "drifted": True,
    }
    calm = column | {"drifted": False, "exceeded": False, "distance": 0.01}
    drifted = {
        "reference_rows": 900,
        "current_rows": 900,
        "days": [DAY],
        "missing_days": [],
        "score": column,
        "columns": {"age": column, "charges": calm, "senior": calm, "internet": calm},
        "verdict": "drift",
        "reason": "Scores moved.",
    }
    worse = {
        "days": [DAY],
        "rows": 900,
        "shortage": None,
        "measures": {"roc_auc": 0.61},
        "baseline_measures": {"roc_auc": 0.5},
        "coverage": None,
        "promised": None,
        "verdict": "worse",
        "reason": "It fell.",
    }
    publish(CHURN.report_prefix(drift_verdict.KIND), DAY, drifted)
    publish(CHURN.report_prefix(performance_verdict.KIND), DAY, worse)

    found = values(state_metrics.of_monitoring(lake, CHURN, NOW))

    assert found["ml_drift_score churn"] == pytest.approx(2.5)
    assert found["ml_drift_feature_share churn"] == 0.25
    assert found["ml_drift_report_age_days churn"] == 3
    assert (found["ml_drift_verdict churn drift"], found["ml_drift_verdict churn no drift"]) == (1, 0)
    assert found["ml_performance churn roc_auc"] == 0.61
    assert found["ml_performance_baseline churn roc_auc"] == 0.5
    assert found["ml_performance_verdict churn worse"] == 1
    assert found["ml_performance_verdict churn as expected"] == 0


@pytest.mark.parametrize(("outcome", "left"), [(None, 2), ("one", 1)])
def test_damage_that_maintenance_did_not_heal_is_counted(
    lake: Lake, publish: Any, outcome: str | None, left: int
) -> None:
    damages = tuple(
        Damage(prefix="features/customers", day=DAY - timedelta(days=n), problem="Gone.") for n in (0, 1)
    )
    unloaded = Damage(prefix="predictions/churn", day=DAY, problem="Old.", table="ml.churn_predictions")
    evidence = Evidence(
        partitions=9,
        checked=9,
        sampled=0,
        damages=(*damages, unloaded),
        stray=(),
        unknown=(),
        tried={},
        code_version="1",
    )
    report = MaintenanceReport(
        verdict=Verdict(status="bad", headline="Damaged", reason="Gone."),
        scope=Scope(until=DAY, started_at=NOW),
        evidence=evidence,
        decision=Decision(wakes=(), lost={}, sweep=()),
        outcome=Outcome(healed=damages[:1], remaining=damages[1:], freed=0, tried={}) if outcome else None,
    )
    publish(REPORT, DAY, report.model_dump(mode="json"))

    assert values(state_metrics.of_lake(lake, NOW)) == {
        "ml_damaged_partitions": left,
        "ml_maintenance_age_days": 3,
    }
