"""What can happen to the versions of a model: one vocabulary for the policies, the ledger and its table."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["promote", "refresh", "keep", "baseline", "propose"]
"""What the gate decides: the candidate becomes champion because it is better, or because the champion is old and
the candidate no worse; the champion stays; the baseline becomes champion; a person is asked first."""

Answer = Literal["approve", "reject"]
"""What a person answers to a proposal."""

Refit = Literal["refit", "refuse_refit"]
"""What becomes of a champion that was fitted on the holdout as well: it takes its parent's place, or not."""

Action = Verdict | Answer | Refit | Literal["rollback", "fallback", "shadow", "withdraw", "repair"]
"""What the ledger records: a verdict, an answer, what became of a refit, the return to a former version, a
champion that cannot score, a version that becomes challenger or is one no longer, or aliases that differed and
were set again."""

VERDICTS: frozenset[Action] = frozenset({"promote", "refresh", "keep", "baseline", "propose"})
ANSWERS: frozenset[Action] = frozenset({"approve", "reject"})
WINS: frozenset[Action] = frozenset({"promote", "refresh", "approve"})
"""Actions by which a candidate becomes champion."""
REFITS: frozenset[Action] = frozenset({"refit", "refuse_refit"})
CHAMPION_CHANGES: frozenset[Action] = WINS | {"baseline", "refit", "rollback"}
BESIDE_ANY_CHAMPION: frozenset[Action] = frozenset(
    {"reject", "refuse_refit", "fallback", "shadow", "withdraw", "repair"}
)
"""Actions that leave the champion alone, whichever it is by the time that they are recorded."""

SHORTEST_REASON = 10
"""Characters of the reason that a person gives for a change."""


def alternatives(action: Action) -> frozenset[Action]:
    """The actions of which a run takes at most one for a candidate: one verdict, one answer, one of each other."""
    return next((group for group in (VERDICTS, ANSWERS, REFITS) if action in group), frozenset({action}))
