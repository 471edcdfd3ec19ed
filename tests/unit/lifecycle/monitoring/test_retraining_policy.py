"""Whether a model is to be trained again, and the reasons that are given."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.monitoring.retraining_evidence import apart
from include.lifecycle.monitoring.retraining_policy import (
    DriftReport,
    EstimateReport,
    PerformanceReport,
    RetrainingDecision,
    RetrainingEvidence,
    decide,
)
from include.lifecycle.specs import RetrainingSpec

DAY = date(2026, 11, 29)
POLICY = RetrainingSpec()


def drift(weeks_ago: int = 0, kind: str = "scores", digest: str = "") -> DriftReport:
    """A report that found the scores drifted, the features alone, missing values alone, or nothing."""
    return DriftReport(
        day=DAY - timedelta(weeks=weeks_ago),
        digest=digest or f"drift {weeks_ago}",
        verdict="drift" if kind in ("scores", "features") else "no drift",
        score_drifted=kind == "scores",
        gaps_changed=kind == "gaps",
    )


def history(*kinds: str) -> tuple[DriftReport, ...]:
    """Weekly reports, the oldest first, the newest of DAY."""
    return tuple(drift(len(kinds) - 1 - place, kind) for place, kind in enumerate(kinds))


def outcomes(
    verdict: Any = "as expected", new_label_days: int = 30, digest: str = "outcomes"
) -> PerformanceReport:
    return PerformanceReport(day=DAY, digest=digest, verdict=verdict, new_label_days=new_label_days)


def refuted(weeks: int) -> PerformanceReport:
    """Outcomes of four weeks, of which some did worse than was estimated."""
    return outcomes().model_copy(update={"known_weeks": 4, "refuted_weeks": weeks})


def aged(champion: int, newest: int | None = -1) -> dict[str, Any]:
    """The ages, in days, of the champion's training and of the newest one, which is the champion's by default."""
    newest = champion if newest == -1 else newest
    last = None if newest is None else DAY - timedelta(newest)
    return {"trained_on": DAY - timedelta(champion), "last_training": last}


def estimated(verdict: Any = "as expected", digest: str = "outcomes") -> EstimateReport:
    return EstimateReport(day=DAY, digest=digest, verdict=verdict)


def evidence(**changes: Any) -> RetrainingEvidence:
    """A champion of 40 days ago of which nothing is wrong."""
    quiet: dict[str, Any] = {
        "model": "churn",
        "day": DAY,
        "champion": 3,
        "trained_on": DAY - timedelta(40),
        "last_training": DAY - timedelta(40),
        "drift": history("none"),
        "performance": outcomes(),
        "validated_days": (DAY,),
        "rejected_days": (),
    }
    return RetrainingEvidence(**quiet | changes)


DRIFTED = {"drift": history("scores", "scores")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"champion": None, "trained_on": None}, "There is no champion yet"),
        ({"validated_days": ()}, "No day of the week until 2026-11-29 has been validated"),
        ({"rejected_days": (DAY,)}, "Validation rejected 2026-11-29"),
        ({"drift": ()}, "There is no drift report of 2026-11-29 on the champion, version 3"),
        ({"drift": (drift(1), drift(2))}, "There is no drift report of 2026-11-29"),
        ({"performance": None}, "There is no performance report of 2026-11-29"),
    ],
)
def test_a_training_is_blocked_where_evidence_is_missing_or_the_data_was_rejected(
    changes: dict[str, Any], reason: str
) -> None:
    decision = decide(evidence(**DRIFTED | changes), POLICY)

    assert (decision.action, decision.request) == ("block", None)
    assert any(text.startswith(reason) for text in decision.reasons), decision.reasons


UNUSABLE: dict[str, Any] = {"champion_fault": "Its file is empty.", "drift": (), "performance": None}


@pytest.mark.parametrize(
    ("changes", "action", "reason"),
    [
        ({}, "train", "The champion, version 3, cannot be used: Its file is empty."),
        ({"last_training": DAY - timedelta(1)}, "train", "The champion, version 3, cannot be used"),
        ({"performance": outcomes(new_label_days=0)}, "train", "The champion, version 3, cannot be used"),
        ({"drift": history("none")}, "train", "The champion, version 3, cannot be used"),
        ({"pending": "abc"}, "wait", "Request abc is not yet answered."),
        ({"rejected_days": (DAY,)}, "block", "Validation rejected 2026-11-29"),
        ({"validated_days": ()}, "block", "No day of the week until 2026-11-29 has been validated"),
    ],
)
def test_a_champion_that_cannot_be_used_asks_for_a_training_on_data_that_was_validated(
    changes: dict[str, Any], action: str, reason: str
) -> None:
    decision = decide(evidence(**UNUSABLE | changes), POLICY)

    assert decision.action == action
    assert decision.reasons[0].startswith(reason)


def test_a_champion_that_stays_unusable_asks_once_for_each_report() -> None:
    request = decide(evidence(**UNUSABLE), POLICY).request
    again = {**UNUSABLE, "earlier": (request,), "champion_fault": "Its file is gone."}

    assert decide(evidence(**again), POLICY).action == "wait"
    assert decide(evidence(**again, day=DAY + timedelta(7)), POLICY).action == "train"


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({"performance": refuted(1)}, "wait"),
        ({"performance": refuted(2)}, "train"),
        ({"performance": refuted(1), "drift": history("scores")}, "train"),
        ({"performance": refuted(1), "drift": history("features")}, "wait"),
    ],
)
def test_a_week_that_refutes_its_estimate_asks_as_loudly_as_drifted_scores(
    changes: dict[str, Any], action: str
) -> None:
    decision = decide(evidence(**changes), POLICY)

    assert decision.action == action, decision.reasons
    assert any("did worse than the scores had promised" in reason for reason in decision.reasons)


def test_where_nothing_is_wrong_the_reasons_say_nothing_else() -> None:
    decision = decide(evidence(), POLICY)

    assert decision.reasons == (
        "None of the last 1 drift reports found that something drifted.",
        "That makes 0 points; a training takes 4.",
    )


def test_what_a_performance_report_does_not_say_counts_as_nothing() -> None:
    report = PerformanceReport(day=DAY, digest="", verdict="as expected")

    assert (report.new_label_days, report.known_weeks, report.refuted_weeks, report.points) == (0, 0, 0, 0)


def test_a_request_is_a_short_text() -> None:
    request = decide(evidence(**DRIFTED), POLICY).request

    assert request is not None
    assert len(request) == 16


def test_all_that_blocks_is_said_at_once() -> None:
    decision = decide(evidence(rejected_days=(DAY,), drift=(), performance=None), POLICY)

    assert len(decision.reasons) == 3


@pytest.mark.parametrize(
    ("kinds", "action"),
    [
        (["none"], "wait"),
        (["scores"], "wait"),
        (["scores", "none"], "wait"),
        (["scores", "scores"], "train"),
        (["scores", "none", "none", "scores"], "train"),
        (["features", "features", "features"], "wait"),
        (["features", "features", "features", "features"], "train"),
        (["scores", "features", "none"], "wait"),
        (["scores", "features", "features"], "train"),
        (["gaps", "gaps", "gaps"], "wait"),
        (["gaps", "scores", "gaps"], "train"),
        (["gaps", "gaps", "gaps", "gaps"], "train"),
    ],
)
def test_drifted_scores_ask_twice_as_loudly_as_features_and_missing_values(kinds: list[str], action: str) -> None:
    decision = decide(evidence(drift=history(*kinds)), POLICY)

    assert decision.action == action, decision.reasons
    assert (decision.request is None) == (action == "wait")


def test_a_report_without_enough_evidence_asks_for_nothing() -> None:
    report = DriftReport(day=DAY, digest="", verdict="not enough evidence", score_drifted=True, gaps_changed=True)

    assert report.points == 0


@pytest.mark.parametrize(
    ("changes", "action", "reason"),
    [
        ({"performance": outcomes("worse")}, "train", "worse than the naive baseline's, by their outcomes"),
        ({"performance": outcomes("worse")}, "train", "That makes 4 points; a training takes 4."),
        ({"performance": outcomes("intervals off")}, "wait", "None of the last 1 drift reports"),
        ({"performance": outcomes("not enough evidence")}, "wait", "That makes 0 points"),
        ({"estimate": estimated("worse")}, "train", "are estimated to be worse than those of its holdout"),
        ({"estimate": estimated()}, "wait", "That makes 0 points; a training takes 4."),
        ({"estimate": estimated("not judged")}, "wait", "That makes 0 points"),
        ({"estimate": estimated("not enough evidence")}, "wait", "That makes 0 points"),
        (aged(120), "wait", "That makes 0 points"),
        (aged(121), "train", "The champion was trained 121 days ago; the limit is 120."),
        # Trainings since, which the gate has refused.
        (aged(300, 120), "wait", "That makes 0 points"),
        (
            aged(300, 121),
            "train",
            f"The champion was trained 300 days ago, and the newest training is as of {DAY - timedelta(121)}; the",
        ),
        # A training as of an older day than the champion's.
        (aged(121, 300), "train", "The champion was trained 121 days ago; the limit is 120."),
        (aged(121, None), "train", "The champion was trained 121 days ago; the limit is 120."),
    ],
)
def test_worse_predictions_and_an_old_champion_ask_on_their_own(
    changes: dict[str, Any], action: str, reason: str
) -> None:
    decision = decide(evidence(**changes), POLICY)

    assert decision.action == action, decision.reasons
    assert any(reason in text for text in decision.reasons), decision.reasons


def test_a_champion_asks_by_its_age_only_where_there_is_a_limit() -> None:
    old = evidence(**aged(4_000))

    assert decide(old, RetrainingSpec(max_age_days=None)).action == "wait"


@pytest.mark.parametrize(
    ("changes", "action", "reason"),
    [
        (
            {"last_training": DAY - timedelta(13)},
            "wait",
            "The newest training is as of 2026-11-16; the next may come",
        ),
        ({"last_training": DAY - timedelta(14)}, "train", "Of the last 2 drift reports, 2 found"),
        ({"last_training": DAY + timedelta(30)}, "wait", "The newest training is as of 2026-12-29"),
        ({"last_training": None}, "train", "Of the last 2"),
        ({"performance": outcomes(new_label_days=4)}, "wait", "Outcomes of 4 days have become known"),
        ({"performance": outcomes(new_label_days=1)}, "wait", "Outcomes of 1 day have become known"),
        ({"performance": outcomes(new_label_days=5)}, "train", "Of the last 2"),
        ({"pending": "abc"}, "wait", "Request abc is not yet answered."),
    ],
)
def test_what_asks_waits_while_a_training_would_come_too_early(
    changes: dict[str, Any], action: str, reason: str
) -> None:
    decision = decide(evidence(**DRIFTED | changes), POLICY)

    assert decision.action == action, decision.reasons
    assert decision.reasons[0].startswith(reason)
    assert "That makes 4 points; a training takes 4." in decision.reasons
    assert decision.request is not None


def test_the_same_reports_make_no_second_request() -> None:
    first = decide(evidence(**DRIFTED), POLICY)

    again = decide(evidence(**DRIFTED, earlier=(str(first.request),)), POLICY)

    assert (first.action, again.action, again.request) == ("train", "wait", first.request)
    assert again.reasons[0].startswith(f"These reports have made request {first.request} before")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "returns"},
        {"champion": 4},
        {"drift": (drift(1), drift(0, digest="another"))},
        {"drift": history("scores", "none", "scores")},
        {"performance": outcomes("worse")},
        aged(130),
    ],
)
def test_another_model_champion_or_report_makes_another_request(changes: dict[str, Any]) -> None:
    first, other = decide(evidence(**DRIFTED), POLICY), decide(evidence(**DRIFTED | changes), POLICY)

    assert first.action == other.action == "train"
    assert first.request != other.request


def test_what_asks_for_nothing_is_no_part_of_a_request() -> None:
    first = decide(evidence(**DRIFTED), POLICY)

    other = decide(evidence(**DRIFTED, estimate=estimated(digest="else")), POLICY)

    assert other.request == first.request


KINDS = st.sampled_from(["scores", "features", "gaps", "none"])
EVIDENCE = st.builds(
    evidence,
    drift=st.lists(KINDS, min_size=1, max_size=4).map(lambda kinds: history(*kinds)),
    performance=st.builds(
        outcomes,
        st.sampled_from(["as expected", "worse", "intervals off", "not enough evidence"]),
        st.integers(0, 200),
    ),
    trained_on=st.dates(DAY - timedelta(200), DAY),
    last_training=st.none() | st.dates(DAY - timedelta(200), DAY),
    rejected_days=st.sampled_from([(), (DAY,)]),
)


@given(found=EVIDENCE)
def test_the_same_evidence_makes_the_same_decision_and_a_reason_is_always_given(found: RetrainingEvidence) -> None:
    copy = RetrainingEvidence.model_validate_json(found.model_dump_json())

    decision = decide(found, POLICY)

    assert decide(copy, POLICY) == decision
    assert decision.reasons
    assert decision.evidence == found


def requests(decisions: Iterable[RetrainingDecision]) -> list[str | None]:
    return [decision.request for decision in decisions if decision.action == "train"]


@given(found=EVIDENCE, times=st.integers(2, 5))
def test_a_report_that_is_repeated_never_makes_two_requests(found: RetrainingEvidence, times: int) -> None:
    made: list[RetrainingDecision] = []
    for _ in range(times):
        made.append(decide(found.model_copy(update={"earlier": tuple(map(str, requests(made)))}), POLICY))

    assert len(requests(made)) <= 1


@pytest.mark.parametrize(
    ("weekdays", "count", "expected"),
    [
        ([], 4, []),
        ([0], 4, [0]),
        ([0, 7, 14], 4, [0, 7, 14]),
        ([0, 7, 14], 2, [7, 14]),
        ([0, 1, 2, 3, 4, 5, 6, 7], 4, [0, 7]),
        ([0, 6, 7, 13], 4, [6, 13]),
    ],
)
def test_reports_whose_windows_overlap_count_once(weekdays: list[int], count: int, expected: list[int]) -> None:
    days = [DAY + timedelta(number) for number in weekdays]

    assert apart(days, 7, count) == [DAY + timedelta(number) for number in expected]
