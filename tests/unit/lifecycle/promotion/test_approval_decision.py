"""What an answer to a proposal leads to."""

from __future__ import annotations

from typing import Any

import pytest

from include.lifecycle.promotion.approval import (
    SETTLEMENT,
    TIMEOUT,
    ApprovalEvidence,
    Response,
    evaluate_response,
)

APPROVED = Response(approves=True, user="ana", comment="Sales agrees.")
REJECTED = Response(approves=False, user="ana", comment="Not before\n the holidays.")
GONE = "Version 7 of 'churn' is not in MLflow any more."
TOO_LATE = (
    "The approval came too late: version 7 was compared with version 5, and meanwhile version 6 is champion; "
    "train again."
)


def evidence(**changes: Any) -> ApprovalEvidence:
    """Version 7 was compared with version 5, which is still champion, and ana approves it."""
    known = {"candidate": 7, "hours": 72, "champion_compared": 5, "champion": 5, "response": APPROVED}
    return ApprovalEvidence(**(known | changes))


@pytest.mark.parametrize(
    ("known", "action", "actor", "reasons"),
    [
        pytest.param(
            evidence(), "approve", "ana", ('ana approved it and wrote: "Sales agrees."',), id="a person approves"
        ),
        pytest.param(
            evidence(champion=None, champion_compared=None),
            "approve",
            "ana",
            ('ana approved it and wrote: "Sales agrees."',),
            id="the first champion",
        ),
        pytest.param(
            evidence(response=Response(approves=True, user="ana")),
            "approve",
            "ana",
            ("ana approved it without a comment.",),
            id="without a comment",
        ),
        pytest.param(
            evidence(response=REJECTED),
            "reject",
            "ana",
            ('ana rejected it and wrote: "Not before the holidays."', "Version 5 stays champion."),
            id="a person rejects",
        ),
        pytest.param(
            evidence(response=REJECTED, champion=6),
            "reject",
            "ana",
            ('ana rejected it and wrote: "Not before the holidays."', "Version 6 stays champion."),
            id="a person rejects, and another champion was made",
        ),
        pytest.param(
            evidence(response=Response(approves=False)),
            "reject",
            TIMEOUT,
            ("Nobody answered within 72 hours. Version 5 stays champion.",),
            id="nobody answers",
        ),
        pytest.param(
            evidence(response=Response(approves=False), champion=None, champion_compared=None),
            "reject",
            TIMEOUT,
            ("Nobody answered within 72 hours. There is still no champion.",),
            id="nobody answers about the first champion",
        ),
        pytest.param(
            evidence(response=Response(approves=True)),
            "reject",
            TIMEOUT,
            ("Nobody answered within 72 hours. Version 5 stays champion.",),
            id="an approval by nobody is none",
        ),
        pytest.param(
            evidence(response=None),
            "reject",
            SETTLEMENT,
            ("The question was ended without an answer. Version 5 stays champion.",),
            id="the task was set to success from outside",
        ),
        pytest.param(
            evidence(champion=6),
            "reject",
            SETTLEMENT,
            (TOO_LATE, 'ana approved it and wrote: "Sales agrees."'),
            id="another champion was made meanwhile",
        ),
        pytest.param(
            evidence(champion_compared=None),
            "reject",
            SETTLEMENT,
            (
                "The approval came too late: version 7 was compared with no champion, and meanwhile version 5 is "
                "champion; train again.",
                'ana approved it and wrote: "Sales agrees."',
            ),
            id="a first champion was made meanwhile",
        ),
        pytest.param(
            evidence(candidate_fault=GONE),
            "reject",
            SETTLEMENT,
            (f"Version 7 cannot be used any more: {GONE}", 'ana approved it and wrote: "Sales agrees."'),
            id="the version is gone",
        ),
        pytest.param(
            evidence(candidate_fault=GONE, champion=6),
            "reject",
            SETTLEMENT,
            (TOO_LATE, f"Version 7 cannot be used any more: {GONE}", 'ana approved it and wrote: "Sales agrees."'),
            id="both",
        ),
    ],
)
def test_only_the_approval_of_a_person_of_what_still_holds_makes_a_champion(
    known: ApprovalEvidence, action: str, actor: str, reasons: tuple[str, ...]
) -> None:
    decision = evaluate_response(known)

    assert (decision.action, decision.actor, decision.reasons) == (action, actor, reasons)
    assert decision.evidence == known
