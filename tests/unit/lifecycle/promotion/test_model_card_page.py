"""What a model card says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from include.lifecycle.modelling.importance import FeatureImportance, Importance
from include.lifecycle.modelling.intervals import Interval
from include.lifecycle.modelling.tuning import Trial
from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.actions import Action
from include.lifecycle.promotion.gate_evidence import GateEvidence
from include.lifecycle.promotion.model_card_page import render_card, verdict_of
from include.lifecycle.training.record import BehaviourResult, FoldDays, PartDays, TrainingRecord
from include.models.churn import CHURN
from include.models.volatility import VOLATILITY
from tests.gate_evidence import SEGMENTS, gate_evidence, leak, segment
from tests.page_language import broken_promises, code_in, loose_percentages, split_cells
from tests.training_records import training_record

DAY = date(2026, 11, 20)


def entry(action: Action, to_version: int | None, **evidence: Any) -> ledger.Entry:
    """The verdict on version 2."""
    found = GateEvidence(metric="average_precision", holdout_rows=1234, candidate_version=2, **evidence)
    before = found.champion_version
    return ledger.Entry("churn", action, 2, before, to_version, DAY, "gate", "Why.", found.model_dump(), "weekly")


@pytest.mark.parametrize(
    ("verdict", "warnings", "status", "headline"),
    [
        (
            entry("promote", 2, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3),
            [],
            "good",
            "Version 2, promoted: average precision 0.31; champion version 1 had 0.3",
        ),
        (
            entry("promote", 2, candidate_score=0.31, baseline_score=0.2),
            ["A leak?"],
            "warning",
            "Version 2, promoted: average precision 0.31; the baseline has 0.2",
        ),
        (
            entry(
                "keep", 1, candidate_score=0.3063, baseline_score=0.2, champion_version=1, champion_score=0.3082
            ),
            ["A leak?"],
            "neutral",
            "Version 2, refused: average precision 0.3063; champion version 1 has 0.3082",
        ),
        (
            entry("keep", 1, candidate_score=None, baseline_score=0.2, champion_version=1, champion_score=0.3082),
            [],
            "neutral",
            "Version 2, refused: average precision not measured; champion version 1 has 0.3082",
        ),
        (
            entry("refresh", 2, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.31),
            [],
            "good",
            "Version 2, promoted: average precision 0.31; champion version 1 had 0.31",
        ),
        (
            entry("propose", 1, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3),
            [],
            "warning",
            "Version 2, waiting for approval: average precision 0.31; champion version 1 has 0.3",
        ),
        (
            entry("approve", 2, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3),
            [],
            "good",
            "Version 2, approved: average precision 0.31; champion version 1 had 0.3",
        ),
        (
            entry("reject", 1, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3),
            [],
            "neutral",
            "Version 2, rejected: average precision 0.31; champion version 1 has 0.3",
        ),
        (
            entry("baseline", 3, candidate_score=0.1, baseline_score=0.2),
            [],
            "neutral",
            "Version 2, refused: average precision 0.1; the baseline, 0.2, becomes champion as version 3",
        ),
    ],
)
def test_a_card_says_what_the_gate_decided(
    verdict: ledger.Entry, warnings: list[str], status: str, headline: str
) -> None:
    said = verdict_of(CHURN, training_record(warnings=tuple(warnings)), verdict)

    assert (said.status, said.headline) == (status, headline)
    assert said.reason == "Why."


def training(held: float, ends: tuple[float, float]) -> TrainingRecord:
    """What is kept of a training of the volatility model whose interval held a share between ends."""
    days = tuple(date(2026, month, 1) for month in (1, 2, 3))
    measured = {"holdout_skill": 0.2, "holdout_skill_lower_bound": 0.1, "holdout_rmse": 0.04}
    parts = ("train", "validation", "refit", "holdout")
    return training_record(
        model="volatility",
        as_of=DAY,
        metrics=measured,
        baseline_metrics=measured | {"holdout_skill": 0.0},
        reference_metrics={"mean": {"holdout_skill": -0.1}},
        intervals={"candidate": Interval("volatility_21d", 1.5, 0.8, held)},
        coverage_range=ends,
        folds=(FoldDays(train=days[:1], validation=days[1:2]),),
        days=PartDays(refit=days[:2], holdout=days[2:]),
        rows=dict.fromkeys(parts, 500),
        mean_label=dict.fromkeys(parts, 0.0703),
        data={f"features/market/dt={day}": "a" * 64 for day in days},
        trials=(Trial(0, "ridge", {"alpha": 1.0}, 0.1, "COMPLETE"),),
        tuning_metric="skill",
        candidate="ridge",
        params={"alpha": 1.0},
        reason="",
        numeric=("volatility_21d",),
        categorical=("symbol",),
    )


@pytest.mark.parametrize(
    ("held", "ends", "sentence"),
    [
        (0.716, (0.635, 0.789), "It is too narrow: outcomes miss it more often than promised."),
        (0.85, (0.801, 0.9), "It is too wide: it says less than it could."),
        (0.81, (0.75, 0.85), "That is as promised."),
    ],
)
def test_a_card_says_whether_the_interval_holds_what_it_promises(
    held: float, ends: tuple[float, float], sentence: str
) -> None:
    first = entry("promote", 2, candidate_score=0.1, baseline_score=0.0)

    html = render_card(VOLATILITY, training(held, ends), {}, first, {})

    assert sentence in html
    assert "Candidate and naive models, measured on the same 1,234 rows, whose mean label is 0.0703." in html
    assert [*code_in(html), *broken_promises(html), *split_cells(html)] == []


@pytest.mark.parametrize(
    ("champion", "who"),
    [
        ({}, "Candidate and naive models"),
        ({"champion_fault": "The champion, version 1, cannot be loaded."}, "Candidate and naive models"),
        ({"champion_score": 0.1, "champion_metrics": {"skill": 0.1}}, "Candidate, champion and naive models"),
    ],
)
def test_a_card_speaks_of_the_champion_where_it_was_measured(champion: dict[str, Any], who: str) -> None:
    number = 1 if champion else None
    first = entry("promote", 2, candidate_score=0.1, baseline_score=0.0, champion_version=number, **champion)

    html = render_card(VOLATILITY, training(0.81, (0.75, 0.85)), {}, first, {})

    assert f"{who}, measured on the same 1,234 rows" in html
    assert ("champion (version 1)" in html) == ("champion_metrics" in champion)


def test_a_card_shows_what_the_model_goes_by_with_its_range_the_most_important_first() -> None:
    features = {
        "symbol": FeatureImportance(mean=0.01, low=-0.002, high=0.02),
        "volatility_21d": FeatureImportance(mean=0.2, low=0.15, high=0.25),
    }
    importance = Importance(metric="skill", rows=5000, repeats=10, features=features)
    record = training(0.81, (0.75, 0.85)).model_copy(update={"importance": importance})

    html = render_card(VOLATILITY, record, {}, entry("promote", 2, candidate_score=0.1, baseline_score=0.0), {})

    section = html[html.index("What it goes by") :]
    assert "shuffled among 5,000 rows of the holdout" in section
    assert "Fall of the skill over the baseline" in section[section.index("<svg") :]
    table = section[section.index("<table") : section.index("</table>")].replace("<wbr>", "")
    assert table.index("volatility_21d") < table.index("symbol")
    assert all(figure in table for figure in ("0.2", "0.15", "0.25"))
    assert [*code_in(html), *broken_promises(html), *split_cells(html), *loose_percentages(html)] == []


def test_the_card_of_a_training_from_before_importance_was_kept_goes_without_it() -> None:
    first = entry("promote", 2, candidate_score=0.1, baseline_score=0.0)

    assert "What it goes by" not in render_card(VOLATILITY, training(0.81, (0.75, 0.85)), {}, first, {})


def test_a_card_shows_each_check_of_the_gate_and_the_segments_worst_first() -> None:
    loser = segment("One year", gain=-0.05, upper_bound=-0.03)
    found = gate_evidence(segments=(*SEGMENTS, loser, segment("tiny", shortfall="3 rows")), leak=leak(0.95))
    first = ledger.Entry("volatility", "keep", 8, 7, 7, DAY, "gate", "Why.", found.model_dump(), "weekly")

    html = render_card(VOLATILITY, training(0.81, (0.75, 0.85)), {}, first, {})

    for text in ("What the gate asked", "Leak alarm", "asks a person", "Segments by contract", "failed", "passed"):
        assert text in html
    assert html.index("One year") < html.index("under 30</") < html.index("3 rows")
    assert [*code_in(html), *broken_promises(html), *split_cells(html)] == []


def test_the_answer_to_a_proposal_takes_its_place_and_keeps_its_evidence() -> None:
    proposal = entry("propose", 1, candidate_score=0.31, baseline_score=0.2, champion_version=1)
    answer = replace(proposal, action="approve", actor="ana", to_version=2, reason="ana approved it.", evidence={})

    assert ledger.standing_verdict([proposal], 2) == proposal
    assert ledger.standing_verdict([proposal, answer], 2) == replace(
        answer, reason="ana approved it.\nWhy.", evidence=proposal.evidence
    )
    with pytest.raises(KeyError):
        ledger.standing_verdict([], 2)


def test_a_card_says_what_became_of_its_version_last() -> None:
    first = entry("promote", 1, candidate_score=0.31, baseline_score=0.2)
    first = replace(first, candidate=1, run_id="first")
    refused = entry("keep", 1, candidate_score=0.31, baseline_score=0.2, champion_version=1, champion_score=0.3)
    promoted = replace(
        refused, action="promote", to_version=2, actor="ana", reason="Better on live days.", evidence={}
    )
    gone = replace(
        promoted, action="rollback", candidate=1, from_version=2, to_version=1, actor="ben", reason="No."
    )
    back = replace(gone, candidate=2, from_version=1, to_version=2, actor="eve", reason="It was right.")
    kept = replace(refused, from_version=2, to_version=2, run_id="again")
    history, said = [first, refused, promoted, gone, back, kept], []

    for length in (2, 3, 4, 5, 6):
        stands = ledger.standing_verdict(history[:length], 2)
        assert stands.evidence == refused.evidence
        verdict = verdict_of(CHURN, training_record(), stands)
        said.append((verdict.status, verdict.headline.split(":")[0], verdict.reason))

    assert said == [
        ("neutral", "Version 2, refused", "Why."),
        ("good", "Version 2, promoted", "ana: Better on live days. Why."),
        ("neutral", "Version 2, rolled back", "ben: No. Why."),
        ("good", "Version 2, champion again", "eve: It was right. Why."),
        ("good", "Version 2, champion again", "eve: It was right. Why."),
    ]


def test_the_first_verdict_on_a_version_counts() -> None:
    history = [
        entry("promote", 2, candidate_score=0.31, baseline_score=0.2),
        entry("keep", 2, candidate_score=0.31, baseline_score=0.2, champion_version=2),
    ]

    assert ledger.first_verdict(history, 2) is history[0]
    with pytest.raises(KeyError, match="Version 3 has no verdict"):
        ledger.first_verdict(history, 3)


def test_a_card_shows_each_behaviour_test_and_the_row_that_broke_it() -> None:
    results = (
        BehaviourResult(
            name="more paid late", asked="No score falls.", measured="By 0.1.", passed=False, example="C7."
        ),
        BehaviourResult(name="order of the rows", asked="None differs.", measured="By 0.", passed=True),
    )
    verdict = entry("keep", 1, candidate_score=0.3, baseline_score=0.2, champion_version=1, champion_score=0.3)

    with_tests = render_card(CHURN, training_record(behaviour_tests=results), {}, verdict, {})
    without = render_card(CHURN, training_record(), {}, verdict, {})

    for words in ("1 of 2 tests passed", "more paid late", "By 0.1. C7.", "failed", "order of the rows"):
        assert words in with_tests
    assert "Behaviour tests" not in without
    assert [*broken_promises(with_tests), *split_cells(with_tests)] == []
