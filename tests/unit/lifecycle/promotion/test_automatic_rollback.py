"""Whether the version before the champion comes back by itself: each branch of the policy, and its limits."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pytest

from include.lifecycle.promotion.automatic_rollback import (
    NO_VERDICT,
    AutomaticRollbackDecision,
    AutomaticRollbackEvidence,
    decide,
)
from include.lifecycle.specs import RollbackPolicy

DAY = date(2026, 6, 30)
POLICY = RollbackPolicy(margin=0.02, cooldown_days=28, min_rows=500)
WORSE: dict[str, Any] = {
    "day": DAY,
    "champion": 3,
    "before": 2,
    "verdict": "as expected",
    "metric": "Average precision",
    "rows": 500,
    "champion_score": 0.3,
    "before_score": 0.4,
    "gain": 0.1,
    "gain_lower_bound": 0.05,
    "changed_on": DAY - timedelta(days=28),
}


def decided(policy: RollbackPolicy | None = POLICY, **changes: Any) -> AutomaticRollbackDecision:
    return decide(AutomaticRollbackEvidence(**{**WORSE, **changes}), policy)


@pytest.mark.parametrize("verdict", ["as expected", "worse", "intervals off"])
def test_the_version_before_comes_back_where_it_is_better_by_more_than_the_margin(verdict: str) -> None:
    decision = decided(verdict=verdict)

    assert decision.action == "rollback"
    assert decision.reasons == (
        "Average precision on 500 outcomes: version 2 has 0.4, the champion, version 3, 0.3; the lower end of "
        "the 95 % interval of the gain, 0.05, is above the margin of 0.02.",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"champion": None}, "There is no version before the champion to go back to."),
        ({"before": None}, "There is no version before the champion to go back to."),
        ({"verdict": NO_VERDICT}, "The verdict on the performance is 'not enough evidence'."),
        ({"problems": ("Version 2 is gone.",)}, "Version 2 is gone."),
        ({"champion_score": None}, "Average precision of the champion, version 3, could not be measured."),
        ({"champion_score": math.nan}, "Average precision of the champion, version 3, could not be measured."),
        ({"before_score": None}, "Average precision of the version before it, 2, could not be measured."),
        ({"before_score": math.inf}, "Average precision of the version before it, 2, could not be measured."),
        ({"gain_lower_bound": None}, "The gain of version 2 over version 3 could not be measured."),
        ({"gain_lower_bound": math.nan}, "The gain of version 2 over version 3 could not be measured."),
        ({"changed_on": None}, "It is not known since when version 3 has been champion."),
        (
            {"changed_on": DAY - timedelta(days=27)},
            "Version 3 has been champion since 2026-06-03, which is less than the cooldown of 28 days before "
            "2026-06-30.",
        ),
        ({"rows": 499}, "The outcomes of 499 predictions of version 3 are known; a rollback needs 500."),
        (
            {"gain_lower_bound": 0.02},
            "Average precision on 500 outcomes: version 2 has 0.4, the champion, version 3, 0.3; the lower end "
            "of the 95 % interval of the gain, 0.02, is not above the margin of 0.02.",
        ),
    ],
)
def test_the_champion_stays_without_complete_evidence_beyond_every_limit(
    changes: dict[str, Any], reason: str
) -> None:
    decision = decided(**changes)

    assert decision.action == "keep"
    assert decision.reasons == (reason,)


def test_a_model_without_a_policy_is_never_rolled_back_by_itself() -> None:
    decision = decided(policy=None)

    assert decision.action == "keep"
    assert decision.reasons == ("The model has no `rollback` policy, so only a person rolls back.",)


def test_the_versions_swapped_the_champion_stays() -> None:
    assert decided(champion_score=0.4, before_score=0.3, gain=-0.1, gain_lower_bound=-0.15).action == "keep"


def test_days_that_people_have_acted_on_are_not_scored_again() -> None:
    assert decided().evidence.rescore is False


def test_outcomes_that_nobody_has_counted_are_none() -> None:
    uncounted = {name: value for name, value in WORSE.items() if name != "rows"}

    decision = decide(AutomaticRollbackEvidence(**uncounted), POLICY.model_copy(update={"min_rows": 1}))

    assert decision.reasons == ("The outcomes of 0 predictions of version 3 are known; a rollback needs 1.",)


def test_each_limit_that_is_missed_is_named() -> None:
    decision = decided(changed_on=DAY, rows=1, gain_lower_bound=0.0)

    assert [reason.split(" ")[0] for reason in decision.reasons] == ["Version", "The", "Average"]
