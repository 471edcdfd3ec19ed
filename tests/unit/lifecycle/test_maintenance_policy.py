"""What maintenance wakes to rebuild the files of trainings that share their as-of day."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from include.lifecycle.maintenance_policy import Catalog, Damage, Evidence, Scope, Training, decide, makers
from include.models.churn import CHURN

DAY = date(2026, 3, 1)
SCOPE = Scope(until=DAY, started_at=datetime(2026, 3, 2, tzinfo=UTC))
CATALOG = Catalog([CHURN.dataset], [CHURN], makers([CHURN.dataset], [CHURN]))


def trained(version: int | None, seed: int) -> Training:
    return Training(
        model="churn",
        as_of=DAY,
        version=version,
        seed=seed,
        trials=4,
        reason="test",
        code_version="code",
        data=frozenset(),
    )


@pytest.mark.parametrize(("staged_seed", "order"), [(7, [8, 7]), (8, [7, 8])])
def test_of_two_trainings_of_a_day_the_staged_one_is_repeated_last(staged_seed: int, order: list[int]) -> None:
    prefixes = (CHURN.staging_prefix, CHURN.reference_prefix(1), CHURN.reference_prefix(2))
    evidence = Evidence(
        partitions=3,
        checked=3,
        damages=tuple(Damage(prefix=prefix, day=DAY, problem="It is damaged.") for prefix in prefixes),
        stray=(),
        unknown=(),
        tried={},
        trainings=(trained(None, staged_seed), trained(1, 7), trained(2, 8)),
        code_version="code",
    )

    wakes = decide(evidence, CATALOG, SCOPE).wakes

    assert [wake.form["seed"] for wake in wakes] == order
    assert f"{CHURN.staging_prefix}/dt={DAY}" in wakes[-1].heals
