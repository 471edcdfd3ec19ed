"""Whether a former champion comes back because a person asks for it: each branch of the policy."""

from __future__ import annotations

from typing import Any

import pytest

from include.lifecycle.promotion.rollback_policy import RollbackEvidence, decide

GOOD: dict[str, Any] = {"version": 2, "champion": 3, "former": (2, 1), "reason": "It raises false alarms."}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"champion": None, "former": ()}, "There is no champion yet, so there is nothing to roll back; run the"),
        ({"version": None, "former": ()}, "There is no version to go back to from version 3. No other version"),
        ({"version": None}, "There is no version to go back to from version 3. Choose a former champion, the"),
        ({"version": 3}, "Version 3 is the champion already. Choose a former champion, the latest first: 2, 1."),
        ({"version": 3, "former": ()}, "Version 3 is the champion already. No other version was ever champion;"),
        ({"version": 9}, "Version 9 was never champion. Choose a former champion, the latest first: 2, 1."),
        ({"fault": "Its file is empty."}, "Version 2 cannot be used. Its file is empty."),
        ({"reason": ""}, "A rollback needs a reason of at least 10 characters; it is ''. Say what is wrong with"),
        (
            {"reason": "  too bad    "},
            "A rollback needs a reason of at least 10 characters; it is '  too bad    '",
        ),
    ],
)
@pytest.mark.parametrize("rescore", [True, False])
def test_a_rollback_that_cannot_be_is_refused_with_what_may_be_chosen(
    changes: dict[str, Any], reason: str, rescore: bool
) -> None:
    decision = decide(RollbackEvidence(**{**GOOD, **changes, "rescore": rescore}))

    [given] = decision.reasons
    assert decision.action == "refuse"
    assert given.startswith(reason)


def test_all_that_is_wrong_is_said_at_once() -> None:
    decision = decide(RollbackEvidence(**{**GOOD, "version": 9, "reason": ""}))

    assert [reason.split(" ")[0] for reason in decision.reasons] == ["Version", "A"]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("reason", ["ten chars.", GOOD["reason"]])
def test_a_former_champion_comes_back_for_a_reason(version: int, reason: str) -> None:
    evidence = RollbackEvidence(**{**GOOD, "version": version, "reason": reason})

    decision = decide(evidence)

    assert decision.action == "rollback"
    assert decision.reasons == (f"Version {version} becomes champion in place of version 3.",)
    assert decision.evidence == evidence
    assert not evidence.rescore


@pytest.mark.parametrize(("changes", "action"), [({}, "rollback"), ({"version": 9}, "refuse")])
def test_a_dry_run_needs_no_reason_and_is_decided_alike(changes: dict[str, Any], action: str) -> None:
    assert decide(RollbackEvidence(**{**GOOD, **changes, "reason": "", "dry_run": True})).action == action
