"""The drift verdict, and the reason that is given for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from include.lifecycle.monitoring.drift_verdict import (
    ColumnEvidence,
    DriftEvidence,
    SeasonEvidence,
    decide,
    has_new_gaps,
)
from include.lifecycle.specs import DriftPolicy

POLICY = DriftPolicy()
MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)


def column(distance: float | None = 0.01, **changes: Any) -> ColumnEvidence:
    evidence = ColumnEvidence(
        method="wasserstein",
        threshold=0.1,
        distance=distance,
        exceeded=distance is not None and distance >= 0.1,
        null_rate_reference=0.0,
        null_rate_current=0.0,
        reference_rows=20_000,
        current_rows=20_000,
    )
    return evidence.model_copy(update=changes)


def evidence(
    score: ColumnEvidence | None = None, columns: Mapping[str, ColumnEvidence] | None = None, **changes: Any
) -> DriftEvidence:
    default = {f"feature_{number}": column() for number in range(4)}
    return DriftEvidence(
        **{
            "reference_rows": 20_000,
            "current_rows": 20_000,
            "days": (MONDAY, TUESDAY),
            "missing_days": (),
            "scored_days": (MONDAY, TUESDAY),
            "predicted_days": (MONDAY, TUESDAY),
            "score": score or column(),
            "columns": default if columns is None else columns,
            **changes,
        }
    )


def features(*distances: float | None) -> dict[str, ColumnEvidence]:
    return {f"feature_{number}": column(distance) for number, distance in enumerate(distances)}


@pytest.mark.parametrize(
    ("found", "verdict", "reason"),
    [
        (evidence(), "no drift", "The scores stayed in place"),
        (evidence(scored_days=(TUESDAY,)), "no drift", "The champion's scores of 1 of 2 days stayed in place"),
        (
            evidence(scored_days=(MONDAY,), score=column(0.2)),
            "drift",
            "The champion's scores of 1 of 2 days drifted",
        ),
        (
            evidence(days=(TUESDAY,), missing_days=(MONDAY,), scored_days=(TUESDAY,)),
            "no drift",
            "The champion's scores of 1 of 2 days stayed in place",
        ),
        (evidence(score=column(0.2)), "drift", "The scores drifted (Wasserstein distance 0.200, limit 0.1)"),
        (
            evidence(columns=features(0.2, 0.2, 0.2, 0.0)),
            "drift",
            "drifted (feature_0, feature_1, feature_2); the limit is 50 %.",
        ),
        (evidence(columns=features(0.2, 0.2, 0.0, 0.0)), "no drift", "2 of 4 features drifted"),
        (evidence(columns=features(0.2, None, None, None)), "drift", "1 of 1 features drifted"),
        (evidence(current_rows=499), "not enough evidence", "The window has 499 rows; a verdict needs 500."),
        (evidence(current_rows=500), "no drift", "stayed in place"),
        (evidence(reference_rows=499), "not enough evidence", "The reference has 499 rows"),
        (evidence(score=column(0.9), current_rows=10), "not enough evidence", "The window has 10 rows"),
        (
            evidence(score=column(None, current_rows=7)),
            "not enough evidence",
            "There are 7 scores of the champion in the window",
        ),
        (evidence(score=column(None), columns=features(0.2, 0.2, 0.2)), "drift", "3 of 3 features drifted"),
        (
            evidence(columns=features(None, None)),
            "not enough evidence",
            "No feature has 500 values on both sides.",
        ),
        (evidence(columns={}), "not enough evidence", "No feature"),
        (evidence(current_rows=0, columns=features(None)), "not enough evidence", "The window has 0 rows"),
    ],
)
def test_each_kind_of_evidence_has_its_verdict(found: DriftEvidence, verdict: str, reason: str) -> None:
    decided = decide(found, POLICY)

    assert decided.verdict == verdict
    assert reason in decided.reason


@pytest.mark.parametrize(
    ("before", "now", "drifted"),
    [
        (0.0, 0.09, False),
        (0.0, 0.1, False),
        (0.0, 0.11, True),
        (0.3, 0.0, True),
        (0.3, 0.35, False),
        (1.0, 1.0, False),
        (0.0, 1.0, True),
    ],
)
def test_a_jump_of_the_missing_values_is_drift_of_the_column(before: float, now: float, drifted: bool) -> None:
    gaps = column(0.0, null_rate_reference=before, null_rate_current=now)

    assert decide(evidence(columns={"age": gaps}), POLICY).columns["age"].drifted == drifted


def test_missing_scores_are_a_lack_of_evidence_and_no_drift_of_the_scores() -> None:
    unscored = column(0.0, null_rate_current=0.9, current_rows=2_000)

    assert not decide(evidence(score=unscored), POLICY).score.drifted


def test_the_reason_names_the_features_that_moved_farthest_first() -> None:
    moved = features(0.2, 0.0, 0.9, 0.4, 0.3, 0.25) | {"gap": column(None, null_rate_current=0.5)}

    verdict = decide(evidence(columns=moved), POLICY)

    assert verdict.drifted == ["feature_2", "feature_3", "feature_4", "feature_5", "feature_0", "gap"]
    assert "6 of 7 features drifted (feature_2, feature_3, feature_4, feature_5, feature_0 and 1 more)" in (
        verdict.reason
    )


def test_how_far_a_feature_moved_is_measured_by_its_own_limit() -> None:
    moved = {"strict": column(0.3), "lax": column(0.5, threshold=0.25)}

    assert decide(evidence(columns=moved), POLICY).drifted == ["strict", "lax"]


def test_the_reason_names_five_features_without_counting_more() -> None:
    reason = decide(evidence(columns=features(0.5, 0.5, 0.5, 0.5, 0.5)), POLICY).reason

    assert reason == (
        "5 of 5 features drifted (feature_0, feature_1, feature_2, feature_3, feature_4); the limit is 50 %."
    )


def test_nothing_lies_outside_the_reference_until_it_was_measured() -> None:
    assert column().outside == 0


def test_a_verdict_keeps_its_evidence() -> None:
    found = evidence(columns=features(0.2, None))

    decided = decide(found, POLICY)

    assert (
        DriftEvidence.model_validate(
            {
                **decided.model_dump(exclude={"verdict", "reason", "is_seasonal"}),
                "score": decided.score.model_dump(exclude={"drifted"}),
                "columns": {name: c.model_dump(exclude={"drifted"}) for name, c in decided.columns.items()},
            }
        )
        == found
    )


def a_year_ago(score: float | None, *distances: float | None, rows: int = 20_000) -> SeasonEvidence:
    return SeasonEvidence(days=(MONDAY, TUESDAY), rows=rows, score=column(score), columns=features(*distances))


NEAR, FAR = 0.01, 0.2


@pytest.mark.parametrize(
    ("season", "verdict", "is_seasonal", "reason"),
    [
        (
            a_year_ago(NEAR, NEAR, NEAR),
            "no drift",
            True,
            "It is the season: beside the training, the scores drifted (Wasserstein distance 0.200, limit 0.1). "
            "2 of 2 features drifted (feature_0, feature_1). Beside the same weeks a year ago, 2026-11-16 to "
            "2026-11-17: The scores stayed in place",
        ),
        (a_year_ago(FAR, NEAR, NEAR), "drift", False, "2026-11-17, it has drifted, too: The scores drifted"),
        (a_year_ago(NEAR, FAR, FAR), "drift", False, "it has drifted, too: 2 of 2 features drifted"),
        (a_year_ago(None, NEAR, NEAR), "drift", False, "it cannot be compared: There are"),
        (a_year_ago(NEAR, NEAR, NEAR, rows=499), "drift", False, "it cannot be compared: The reference has 499"),
        (None, "drift", False, "The scores drifted"),
    ],
)
def test_a_window_has_drifted_only_if_it_lies_far_from_the_same_weeks_a_year_ago_too(
    season: SeasonEvidence | None, verdict: str, is_seasonal: bool, reason: str
) -> None:
    decided = decide(evidence(column(FAR), features(FAR, FAR), season=season), POLICY)

    assert (decided.verdict, decided.is_seasonal) == (verdict, is_seasonal)
    assert reason in decided.reason
    # What lies far from the training is still named.
    assert decided.score.drifted
    assert decided.drifted == ["feature_0", "feature_1"]


def test_a_window_like_the_training_has_not_drifted_whatever_was_a_year_ago() -> None:
    decided = decide(evidence(season=a_year_ago(FAR, FAR)), POLICY)

    assert (decided.verdict, decided.is_seasonal) == ("no drift", False)


@pytest.mark.parametrize(
    ("now", "then", "expected"), [(0.5, None, True), (0.1, None, False), (0.5, 0.5, False), (0.5, 0.0, True)]
)
def test_missing_values_are_new_where_their_share_differs_from_training_and_season(
    now: float, then: float | None, expected: bool
) -> None:
    found = {"feature_0": column(null_rate_current=now)}
    season = None
    if then is not None:
        ago = {"feature_0": column(null_rate_current=now, null_rate_reference=then)}
        season = SeasonEvidence(days=(MONDAY,), rows=20_000, score=column(), columns=ago)

    decided = decide(evidence(columns=found, season=season), POLICY)

    assert has_new_gaps(decided, POLICY) == expected
