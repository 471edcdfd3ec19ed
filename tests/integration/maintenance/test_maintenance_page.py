"""What the report of a maintenance says, and which it replaces; on a real S3 server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.datasets.customers import CUSTOMERS
from include.lifecycle.operations import maintenance, maintenance_policy
from include.lifecycle.operations.maintenance_page import render_maintenance, verdict_of
from include.lifecycle.storage.lake import MANIFEST, Lake, RunInfo, partition
from tests.damage import flip
from tests.integration.maintenance.lakes import AS_OF, CATALOG, DAY, checked, scope


def test_a_prefix_that_nothing_has_is_no_whole_lake(lived_in: Lake, postgres: Any, run: RunInfo) -> None:
    wanted = scope(prefix="features/custom")
    evidence = maintenance.gather(lived_in, postgres, CATALOG, wanted, "test")

    verdict = maintenance.publish(
        lived_in, wanted, evidence, maintenance_policy.decide(evidence, CATALOG, wanted), None, run
    )

    assert (verdict.status, verdict.headline) == ("neutral", "Nothing was checked")


@pytest.mark.parametrize("asked", [{"prefix": "features"}, {"days": (DAY, DAY)}, {"dry_run": True}])
def test_a_report_that_somebody_asked_for_does_not_replace_that_on_the_whole_lake(
    lived_in: Lake, postgres: Any, run: RunInfo, asked: dict[str, Any]
) -> None:
    maintenance.publish(lived_in, scope(), *checked(lived_in, postgres), None, run)
    whole_lake = lived_in.manifest(maintenance_policy.REPORT, AS_OF)

    maintenance.publish(lived_in, scope(**asked), *checked(lived_in, postgres, **asked), None, run)

    assert lived_in.manifest(maintenance_policy.REPORT, AS_OF) == whole_lake
    assert (
        maintenance.read_report(lived_in, scope(**asked).report, AS_OF).scope.report != maintenance_policy.REPORT
    )


def test_a_run_that_compared_nothing_does_not_call_the_lake_good(lived_in: Lake, postgres: Any) -> None:
    never = scope(days=(date(2001, 1, 1), date(2001, 1, 1)))
    evidence = maintenance.gather(lived_in, postgres, CATALOG, never, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, never)

    verdict = verdict_of(never, evidence, decision, None)

    assert (verdict.status, verdict.headline) == ("neutral", "Nothing was checked")


def test_a_dry_run_does_not_claim_to_have_done_anything(lived_in: Lake, postgres: Any) -> None:
    flip(lived_in, f"{partition(CUSTOMERS.features_prefix, DAY)}/{MANIFEST}")
    lived_in.write_object(f"{partition(CUSTOMERS.validation_prefix, DAY)}/stray.txt", b"x")
    dry = scope(dry_run=True).model_copy(update={"started_at": datetime.now(UTC) + timedelta(days=8)})
    evidence = maintenance.gather(lived_in, postgres, CATALOG, dry, "test")
    decision = maintenance_policy.decide(evidence, CATALOG, dry)

    verdict = verdict_of(dry, evidence, decision, None)
    html = render_maintenance(dry, verdict, evidence, decision, None)

    assert "Dry run: nothing was done; it would have started 1 run for 1 of them." in verdict.reason
    assert "would rebuild it." in html
    assert "would be deleted" in html


def test_the_page_says_the_verdict_first(lived_in: Lake, postgres: Any, run: RunInfo, tmp_path: Path) -> None:
    flip(lived_in, f"{partition(CUSTOMERS.features_prefix, DAY)}/{MANIFEST}")
    evidence, decision = checked(lived_in, postgres)

    maintenance.publish(lived_in, scope(), evidence, decision, None, run)

    [page] = lived_in.download(maintenance_policy.REPORT, AS_OF, tmp_path, "index.html")
    text = page.read_text()
    assert "1 partition is damaged or missing" in text
    assert "rebuilds it" in text


@pytest.mark.parametrize(
    ("number", "headline"),
    [
        (1, "The damaged or missing partition was healed"),
        (2, "All 2 damaged or missing partitions were healed"),
    ],
)
def test_the_page_says_how_many_partitions_were_healed(
    lived_in: Lake, postgres: Any, run: RunInfo, number: int, headline: str
) -> None:
    for prefix in (CUSTOMERS.features_prefix, CUSTOMERS.clean("invoices"))[:number]:
        flip(lived_in, f"{partition(prefix, DAY)}/{MANIFEST}")
    evidence, decision = checked(lived_in, postgres)
    outcome = maintenance_policy.conclude(evidence, decision, [], 0, AS_OF)

    verdict = maintenance.publish(lived_in, scope(), evidence, decision, outcome, run)

    assert verdict.headline == headline
    published = maintenance.read_report(lived_in, maintenance_policy.REPORT, AS_OF)
    assert (published.verdict, published.decision, published.outcome) == (verdict, decision, outcome)
