"""What is wrong, and since when, follows from the records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.datasets.customers import CUSTOMERS
from include.lifecycle.ingestion.verdicts import DayVerdict
from include.lifecycle.monitoring.drift_verdict import DriftVerdict
from include.lifecycle.monitoring.performance_verdict import PerformanceVerdict
from include.lifecycle.monitoring.retraining_requests import Request
from include.lifecycle.operations.maintenance_policy import Damage, MaintenanceReport, Outcome
from include.lifecycle.overview.concerns import Concern, FailedRun, concerns
from include.lifecycle.overview.overview_page import Overview, overview_page
from include.lifecycle.overview.state import Champion, DatasetState, Dated, LakeState, ModelState
from include.lifecycle.overview.summaries import Summary
from include.lifecycle.promotion import ledger
from include.lifecycle.reporting.pages import render
from include.lifecycle.scoring.deadlines import deadline
from include.models.churn import CHURN
from tests.gate_evidence import gate_evidence

DAY = date(2026, 3, 2)
# The predictions of the day after DAY are not due yet.
NOW = deadline(CHURN, DAY + timedelta(1)) - timedelta(minutes=1)
NO_LAKE = LakeState(None)


def after(days: int) -> date:
    return DAY + timedelta(days)


def promoted(version: int = 3) -> ledger.Entry:
    evidence = gate_evidence(candidate_version=version).model_dump(mode="json")
    return ledger.Entry("churn", "promote", version, None, version, after(-20), "gate", "Better.", evidence, "run")


def part(record: Any, **known: Any) -> Any:
    """A record of which nothing else is known."""
    return record.model_construct(**known)


def drift(verdict: str) -> Any:
    return part(DriftVerdict, verdict=verdict, reason=f"It is {verdict}.")


def performance(verdict: str) -> Any:
    measures: dict[str, Any] = {"measures": {}, "baseline_measures": {}}
    return part(PerformanceVerdict, verdict=verdict, reason=f"They are {verdict}.", **measures)


def dated(verdicts: Sequence[Any], last: date = DAY, every: int = 7) -> list[Dated[Any]]:
    first = last - timedelta(every * (len(verdicts) - 1))
    return [Dated(first + timedelta(every * place), verdict) for place, verdict in enumerate(verdicts)]


def model(**changes: Any) -> ModelState:
    """A model in order."""
    known: dict[str, Any] = {
        "model": CHURN,
        "history": [promoted()],
        "champion": Champion(3, datetime(2026, 2, 11, tzinfo=UTC), promoted()),
        "predictions": Summary(CHURN.predictions_prefix, DAY, None, {}),
        "drift": dated([drift("no drift")]),
        "performance": dated([performance("as expected")]),
        "request": None,
    }
    return ModelState(**known | changes)


def table(quarantined: int = 0, **changes: Any) -> dict[str, Any]:
    known = {"lines": 100, "rows": 100, "good": 100 - quarantined, "good_lines": 100 - quarantined}
    bad = {
        "quarantined": quarantined,
        "quarantined_lines": quarantined,
        "rules": {},
        "problems": (),
        "warnings": (),
    }
    return known | bad | changes


def day_verdict(accepted: bool = True, **changes: Any) -> DayVerdict:
    return DayVerdict(day=DAY, accepted=accepted, tables={"customers": table(**changes)})


def dataset(*verdicts: DayVerdict, **changes: Any) -> DatasetState:
    """A dataset in order, but for what is given."""
    known: dict[str, Any] = {
        "dataset": CUSTOMERS,
        "verdicts": dated(verdicts or [day_verdict()], every=1),
        "features": Summary(CUSTOMERS.features_prefix, DAY, None, {}),
    }
    return DatasetState(**known | changes)


def found(
    models: Sequence[ModelState] = (), datasets: Sequence[DatasetState] = (), lake: LakeState = NO_LAKE
) -> list[Concern]:
    return concerns(models, datasets, lake, [], NOW)


def test_nothing_is_wrong_where_all_is_in_order() -> None:
    assert found([model()], [dataset()]) == []


@pytest.mark.parametrize(
    ("state", "status", "words", "since", "address"),
    [
        (model(champion=None, history=[]), "neutral", "No version is in force", None, "../../dags/churn_training"),
        (
            model(predictions=Summary("", after(-1), None, {})),
            "bad",
            f"The predictions of {DAY} were due",
            deadline(CHURN, DAY).date(),
            "../../dags/churn_scoring",
        ),
        (
            model(drift=dated([drift("drift"), drift("no drift"), drift("drift"), drift("drift")])),
            "warning",
            "It is drift.",
            after(-7),
            f"../reports/churn/drift/{DAY}/",
        ),
        (
            model(performance=dated([performance("worse")] * 3)),
            "bad",
            "They are worse.",
            after(-14),
            f"../reports/churn/performance/{DAY}/",
        ),
        (
            model(performance=dated([performance("worse"), performance("intervals off")])),
            "warning",
            "They are intervals off.",
            DAY,
            f"../reports/churn/performance/{DAY}/",
        ),
        (
            model(faults=["A record is damaged."]),
            "bad",
            "A record is damaged.",
            None,
            "../reports/lake/maintenance/latest/",
        ),
        (
            model(history=[promoted(), ledger.Entry("churn", "propose", 4, 3, 3, DAY, "gate", "", {}, "run")]),
            "warning",
            "Version 4 waits for somebody to approve or reject it.",
            DAY,
            "../reports/churn/model_card/version=4/latest/",
        ),
        (
            model(request=Request("r", "churn", DAY, "Drift.", "open", 0, None, None)),
            "neutral",
            f"A training has been asked for. Requested on {DAY}: Drift.",
            DAY,
            "../../dags/churn_training",
        ),
    ],
)
def test_each_trouble_of_a_model_is_named_with_its_first_day_and_where_to_go(
    state: ModelState, status: str, words: str, since: date | None, address: str
) -> None:
    [concern] = found([state])

    assert (concern.status, concern.about, concern.since, concern.address) == (status, "churn", since, address)
    assert words in concern.sentence


def test_a_rejected_day_is_wrong_since_the_first_of_those_in_a_row() -> None:
    rejected = day_verdict(accepted=False, problems=("customers is empty.",))
    state = dataset(rejected, day_verdict(), rejected, rejected)

    [concern] = found(datasets=[state])

    assert (concern.status, concern.about, concern.since) == ("bad", "customers", after(-1))
    assert concern.sentence == f"{DAY} was rejected: customers is empty."
    assert found(datasets=[dataset(rejected, day_verdict())]) == []


def test_far_more_rows_in_quarantine_than_usual_are_worth_a_look() -> None:
    [concern] = found(datasets=[dataset(day_verdict(quarantined=9, usual_bad_share=(0.0, 0.01)))])

    assert concern.status == "warning"
    assert concern.sentence == f"9 % of customers went to quarantine on {DAY}, far more than usual."
    assert found(datasets=[dataset(day_verdict(quarantined=9))]) == []


def damage_in(names: str, **tried: date) -> list[Concern]:
    """What is said of partitions that maintenance could not heal, of which some were tried before."""
    damages = tuple(Damage(prefix=f"clean/{name}", day=DAY, problem="It is gone.") for name in names)
    since = {damage.path: tried[name] for name, damage in zip(names, damages, strict=True) if name in tried}
    outcome = Outcome(healed=(), remaining=damages, freed=0, tried=since)
    return found(lake=LakeState(Dated(DAY, part(MaintenanceReport, outcome=outcome))))


def test_damage_that_stays_is_wrong_since_maintenance_first_failed_at_it() -> None:
    [concern] = damage_in("ab", a=after(-3), b=after(-9))

    assert (concern.status, concern.about, concern.since) == ("bad", "lake", after(-9))
    assert concern.sentence == f"Maintenance could not heal clean/a/dt={DAY} and 1 more."


def test_damage_that_is_new_is_wrong_since_it_was_found() -> None:
    [concern] = damage_in("a")

    assert (concern.since, concern.sentence) == (DAY, f"Maintenance could not heal clean/a/dt={DAY}.")
    assert damage_in("") == []


def test_who_has_to_act_stands_first_and_of_each_kind_the_oldest() -> None:
    models = [
        model(drift=dated([drift("drift")])),
        model(performance=dated([performance("worse")])),
        model(champion=None, history=[], faults=["A record is damaged."]),
    ]
    run = FailedRun("churn_training", datetime(2026, 2, 1, tzinfo=UTC), "../../dags/churn_training/runs/1")

    ordered = concerns(models, [], NO_LAKE, [run], NOW)

    assert [(concern.status, concern.since) for concern in ordered] == [
        ("bad", None),
        ("bad", date(2026, 2, 1)),
        ("bad", DAY),
        ("warning", DAY),
        ("neutral", None),
    ]


words = st.text(min_size=1, max_size=5) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}"]
)


@given(
    verdicts=st.lists(
        st.sampled_from(["worse", "intervals off", "as expected", "not enough evidence"]), max_size=5
    ),
    drifts=st.lists(st.sampled_from(["drift", "no drift", "not enough evidence"]), max_size=5),
    problem=words,
    bad=st.integers(0, 100),
    outages=st.lists(words, max_size=1),
    checked=st.booleans(),
)
def test_whatever_the_records_say_the_page_says_whether_anything_is_wrong(
    verdicts: list[str], drifts: list[str], problem: str, bad: int, outages: list[str], checked: bool
) -> None:
    state = model(performance=dated([performance(each) for each in verdicts]), drift=dated([*map(drift, drifts)]))
    data = dataset(day_verdict(accepted=bad < 50, quarantined=bad, problems=(problem,)))
    known = found([state], [data])

    page = overview_page(Overview([state], [data], known, NOW if checked else None, outages))

    wrong = [concern for concern in known if concern.status != "neutral"]
    assert (page.verdict.status == "good") == (checked and not wrong and not outages)
    html = render(page)
    assert "<script>alert" not in html
    assert "<img src=x>" not in html


def cells(state: ModelState) -> list[Any]:
    """What the page's row of a model shows."""
    [models] = [
        section for section in overview_page(Overview([state], [], [], NOW)).sections if section.title == "Models"
    ]
    assert models.table is not None
    return [getattr(cell, "text", cell) for cell in models.table.rows[0]]


def test_a_champion_is_shown_by_the_verdict_on_it_and_a_refitted_one_by_that_on_its_parent() -> None:
    refit = replace(promoted(), action="refit", candidate=4, from_version=3, to_version=4)
    refitted = model(history=[promoted(), refit], champion=Champion(4, datetime(2026, 2, 12, tzinfo=UTC), refit))

    assert cells(model())[1:4] == ["Version 3", str(after(-20)), "average precision 0.6 (0.4)"]
    assert cells(refitted)[1:4] == ["Version 4", str(after(-20)), "average precision 0.6 (0.4)"]


def test_a_baseline_that_is_champion_is_called_one() -> None:
    entry = replace(promoted(2), action="baseline", candidate=1)

    state = model(history=[entry], champion=Champion(2, datetime(2026, 2, 12, tzinfo=UTC), entry))

    assert cells(state)[1:4] == ["Version 2", str(after(-20)), "the naive baseline itself"]


def test_before_anything_is_known_a_model_has_dashes() -> None:
    nothing = model(champion=None, history=[], predictions=None, drift=[], performance=[])

    assert cells(nothing) == [CHURN.title, *[None] * 7]
