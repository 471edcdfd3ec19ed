"""Whether a version scores in shadow, no longer does, or leaves it as champion: each branch of the policy."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from include.lifecycle.promotion import ab_test_policy
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.promotion.ab_test_policy import AbTestEvidence, Arm
from include.lifecycle.promotion.shadow_policy import ShadowComparison, ShadowEvidence, decide

BETTER: dict[str, Any] = {
    "champion": 3,
    "challenger": 4,
    "title": "Average precision",
    "days": (date(2026, 3, 1), date(2026, 3, 2)),
    "rows": 500,
    "gain": 0.05,
    "gain_lower_bound": 0.01,
    "gain_upper_bound": 0.09,
}
SHADOW: dict[str, Any] = {
    "asked": "shadow",
    "version": 4,
    "champion": 3,
    "is_judged": True,
    "reason": "Live data.",
}
WITHDRAW: dict[str, Any] = {**SHADOW, "asked": "withdraw", "challenger": 4}
PROMOTE: dict[str, Any] = {**WITHDRAW, "asked": "promote", "comparison": ShadowComparison(**BETTER)}


def comparison(**changes: Any) -> dict[str, Any]:
    return {"comparison": ShadowComparison(**{**BETTER, **changes})}


BEGUN = "Version 4 becomes challenger and scores in shadow beside the champion, 3."
STATED = AbTest(share=0.2, salt="churn", first_day=date(2026, 3, 5), days=28, aim="lower")
TEST: dict[str, Any] = {"share": 0.2, "ab_test": STATED, "known_after_days": 180, "look_back_days": 180}


def arms(champion: float, challenger: float) -> dict[str, Any]:
    return {
        name: Arm(keys=5000, mean=mean, deviation=0.2)
        for name, mean in (("champion_arm", champion), ("challenger_arm", challenger))
    }


def result(**changes: Any) -> dict[str, Any]:
    """A test that runs, and what the newest report says of it."""
    known: dict[str, Any] = {
        "test": STATED,
        "champion": 3,
        "challenger": 4,
        "days": (STATED.first_day,),
        **changes,
    }
    return {"ab_test": STATED, "result": ab_test_policy.decide(AbTestEvidence(**known))}


@pytest.mark.parametrize(
    ("request_", "changes", "reason"),
    [
        (SHADOW, {"champion": None}, "There is no champion yet"),
        (SHADOW, {"version": None}, "Name the version that is to score in shadow."),
        (SHADOW, {"version": 3}, "Version 3 is the champion, so its scores are published already"),
        (SHADOW, {"challenger": 4}, "Version 4 is the challenger already; withdraw it first"),
        (SHADOW, {"is_judged": False}, "The ledger has no verdict on version 4; choose a version that the gate"),
        (
            SHADOW,
            {"is_proposed": True},
            "A person is asked whether version 4 is to be champion; answer that first",
        ),
        (SHADOW, {"fault": "Its file is empty."}, "Version 4 cannot be used. Its file is empty."),
        (
            SHADOW,
            {"share": 0.2},
            "The model does not say which outcome people act for (`label.aim`), so an A/B test",
        ),
        (
            SHADOW,
            {**TEST, "known_after_days": 181},
            "The outcomes of 28 days are known 181 days after the first one, but a weekly report may look back",
        ),
        (WITHDRAW, {"challenger": None}, "There is no challenger; make a version challenger first."),
        (WITHDRAW, {"version": 5}, "Version 5 is not the challenger, that is version 4; name that one, or none."),
        (PROMOTE, {"challenger": None}, "There is no challenger; make a version challenger first."),
        (PROMOTE, {"version": 5}, "Version 5 is not the challenger, that is version 4; name that one, or none."),
        (PROMOTE, {"is_judged": False}, "The ledger has no verdict on version 4"),
        (PROMOTE, {"is_proposed": True}, "A person is asked whether version 4 is to be champion"),
        (PROMOTE, {"fault": "Its file is empty."}, "Version 4 cannot be used. Its file is empty."),
        (PROMOTE, {"refusals": ("A test failed.",)}, "The gate has refused version 4: A test failed."),
        (PROMOTE, {"comparison": None}, "The newest performance report compares no challenger with the champion"),
        (PROMOTE, comparison(champion=2), "The newest performance report compares version 4 with version 2, not"),
        (
            PROMOTE,
            comparison(challenger=5),
            "The newest performance report compares version 5 with version 3, not",
        ),
        (PROMOTE, comparison(shortage="no rows"), "The outcomes of version 4 beside version 3: no rows."),
        (PROMOTE, comparison(rows=499), "The outcomes of 499 predictions of both versions are known; a promotion"),
        (PROMOTE, comparison(gain_lower_bound=None), "The gain of version 4 over version 3 was not measured."),
        (PROMOTE, comparison(gain_lower_bound=float("nan")), "The gain of version 4 over version 3 was not"),
        (PROMOTE, comparison(gain_lower_bound=float("inf")), "The gain of version 4 over version 3 was not"),
        (
            PROMOTE,
            comparison(gain_lower_bound=0.0),
            "Average precision on 500 outcomes: the gain is 0.05; the lower end of its 95 % interval, 0, is not "
            "above 0.",
        ),
        (PROMOTE, comparison(gain_lower_bound=-1e-9), "Average precision on 500 outcomes: the gain is 0.05;"),
        (
            PROMOTE,
            {"ab_test": STATED},
            "The newest performance report says nothing of the A/B test from 2026-03-05",
        ),
        (
            PROMOTE,
            result(test=STATED.model_copy(update={"salt": "another"})),
            "The newest performance report says nothing of the A/B test from 2026-03-05",
        ),
        (PROMOTE, result(), "The A/B test decides. The outcomes of 1 of 28 days are known"),
        (PROMOTE, result(has_ended=True), "The A/B test decides. The test was ended"),
        (PROMOTE, result(**arms(0.05, 0.05)), "The verdict of the A/B test is 'no difference'. The mean outcome"),
        (PROMOTE, result(**arms(0.05, 0.09)), "The verdict of the A/B test is 'worse'. The mean outcome is 0.09"),
        (
            PROMOTE,
            result(**arms(0.05, 0.01), min_keys=5001),
            "The verdict of the A/B test is 'not enough evidence'.",
        ),
        (SHADOW, {"reason": ""}, "The change needs a reason of at least 10 characters; it is ''."),
        (WITHDRAW, {"reason": " too bad   "}, "The change needs a reason of at least 10 characters"),
        (PROMOTE, {"reason": ""}, "The change needs a reason of at least 10 characters; it is ''."),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    request_: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    decision = decide(ShadowEvidence(**{**request_, **changes}))

    [given] = decision.reasons
    assert decision.action == "refuse"
    assert given.startswith(reason)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"asked": "shadow"}, "The ledger has no verdict on version 4"),
        (
            {**PROMOTE, "comparison": ShadowComparison(champion=3, challenger=4, title="Average precision")},
            "The outcomes of 0 predictions of both versions are known; a promotion needs 500.",
        ),
        (
            {**SHADOW, "share": 0.2, "ab_test": STATED, "known_after_days": 1},
            "The outcomes of 28 days are known 1 days after the first one, but a weekly report may look back no",
        ),
    ],
)
def test_what_is_not_known_speaks_against_a_version(known: dict[str, Any], reason: str) -> None:
    decision = decide(ShadowEvidence(**{"version": 4, "champion": 3, "reason": "Live data.", **known}))

    [given] = decision.reasons
    assert given.startswith(reason)


def test_all_that_is_wrong_is_said_at_once() -> None:
    refusals = ("A test failed.", "A segment loses.")
    decision = decide(ShadowEvidence(**{**PROMOTE, "refusals": refusals, "comparison": None, "reason": ""}))

    assert [reason.split(" ")[0] for reason in decision.reasons] == ["The", "The", "The", "The"]
    assert [reason.split(" ")[1] for reason in decision.reasons] == ["gate", "gate", "newest", "change"]


@pytest.mark.parametrize(
    ("request_", "changes", "reason"),
    [
        (SHADOW, {}, "Version 4 becomes challenger and scores in shadow beside the champion, 3."),
        (SHADOW, {"challenger": 2}, "Version 4 becomes challenger in place of version 2 and scores in shadow"),
        # A version that the gate refused may show what it is worth.
        (SHADOW, {"refusals": ("A test failed.",)}, "Version 4 becomes challenger and scores in shadow"),
        (
            SHADOW,
            TEST,
            f"{BEGUN} From 2026-03-05 on it decides about 20 % of the keys. Once 28 of these days have",
        ),
        (SHADOW, {"share": 0.2, "ab_test": STATED}, f"{BEGUN} From 2026-03-05 on it decides about 20 % of the"),
        (WITHDRAW, {}, "Version 4 is challenger no longer; there is none from now on."),
        # Whatever has become of it.
        (WITHDRAW, {"is_judged": False, "fault": "It is gone."}, "Version 4 is challenger no longer"),
        (PROMOTE, {}, "Version 4 becomes champion in place of version 3. Average precision on 500 outcomes: the"),
        # The verdict of a test takes the place of the gain.
        (
            PROMOTE,
            {**result(**arms(0.05, 0.01)), "comparison": None},
            "Version 4 becomes champion in place of version 3. The mean outcome is 0.01 for the 5,000 keys of the",
        ),
        (PROMOTE, comparison(gain_lower_bound=1e-9), "Version 4 becomes champion in place of version 3. Average"),
    ],
)
def test_what_nothing_speaks_against_is_done(
    request_: dict[str, Any], changes: dict[str, Any], reason: str
) -> None:
    evidence = ShadowEvidence(**{**request_, **changes})

    decision = decide(evidence)

    assert decision.action == evidence.asked
    assert decision.evidence == evidence
    [given] = decision.reasons
    assert given.startswith(reason)
