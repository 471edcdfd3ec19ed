"""Whether a former champion comes back because a person asks for it: a pure function from evidence to decision."""

from __future__ import annotations

from datetime import date
from typing import Literal

from include.lifecycle.promotion.actions import SHORTEST_REASON
from include.lifecycle.specs import Spec


class RollbackEvidence(Spec):
    """What is asked for, and what speaks for or against it; the ledger keeps it as JSON.

    Attributes
    ----------
    day : the newest one with predictions; None where there is none.
    version : the version that is to be champion; None where no former champion is left to choose by itself.
    champion : the present one, or None where there is none.
    former : the other versions that were champion, the latest first.
    fault : a sentence that says why the version cannot be used.
    rescore : whether the days that the present champion has scored are to be scored again.
    dry_run : whether nothing is to be changed, which needs no reason.
    """

    version: int | None
    champion: int | None
    day: date | None = None
    former: tuple[int, ...] = ()
    fault: str | None = None
    reason: str = ""
    rescore: bool = False
    dry_run: bool = False


class RollbackDecision(Spec):
    """What is to happen, why, and from what it follows."""

    action: Literal["rollback", "refuse"]
    reasons: tuple[str, ...]
    evidence: RollbackEvidence


def decide(evidence: RollbackEvidence) -> RollbackDecision:
    """Roll back to a former champion that can be used, if the person says why; refuse with all that is wrong."""
    obstacles = (*_obstacles(evidence), *_lack_of_reason(evidence))
    if obstacles:
        return RollbackDecision(action="refuse", reasons=obstacles, evidence=evidence)
    replaced = f"Version {evidence.version} becomes champion in place of version {evidence.champion}."
    return RollbackDecision(action="rollback", reasons=(replaced,), evidence=evidence)


def _obstacles(evidence: RollbackEvidence) -> tuple[str, ...]:
    """What speaks against the version; the first says it all."""
    version, champion = evidence.version, evidence.champion
    if champion is None:
        return ("There is no champion yet, so there is nothing to roll back; run the training first.",)
    if version is None:
        return (f"There is no version to go back to from version {champion}. {_choices(evidence)}",)
    if version == champion:
        return (f"Version {version} is the champion already. {_choices(evidence)}",)
    if version not in evidence.former:
        return (f"Version {version} was never champion. {_choices(evidence)}",)
    if evidence.fault:
        return (f"Version {version} cannot be used. {evidence.fault}",)
    return ()


def _lack_of_reason(evidence: RollbackEvidence) -> tuple[str, ...]:
    if evidence.dry_run or len(evidence.reason.strip()) >= SHORTEST_REASON:
        return ()
    return (
        f"A rollback needs a reason of at least {SHORTEST_REASON} characters; it is {evidence.reason!r}. Say what "
        f"is wrong with version {evidence.champion}.",
    )


def _choices(evidence: RollbackEvidence) -> str:
    if not evidence.former:
        return "No other version was ever champion; train a better one."
    return f"Choose a former champion, the latest first: {', '.join(map(str, evidence.former))}."
