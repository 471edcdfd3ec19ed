"""What maintenance decides: who rebuilds what, what is lost, and which files may go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.lifecycle.operations.maintenance_page import render_maintenance, verdict_of
from include.lifecycle.operations.maintenance_policy import (
    Catalog,
    Damage,
    Decision,
    Evidence,
    MaintenanceReport,
    Scope,
    StrayFile,
    Training,
    Wake,
    conclude,
    decide,
    makers,
)
from include.lifecycle.reporting.pages import Verdict
from include.models.churn import CHURN

DAY = date(2026, 3, 1)
STARTED = datetime(2026, 3, 2, tzinfo=UTC)
SCOPE = Scope(until=DAY, started_at=STARTED)
CATALOG = Catalog([CHURN.dataset], [CHURN], makers([CHURN.dataset], [CHURN]))
RAW, FEATURES, LABELS = "raw/customers/usage_daily", "features/customers", CHURN.labels_prefix
CARD, STAGING = "reports/churn/model_card", CHURN.staging_prefix


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def damaged(prefix: str, day: date = DAY) -> Damage:
    return Damage(prefix=prefix, day=day, problem="It is damaged.")


def path(prefix: str, day: date = DAY) -> str:
    return f"{prefix}/dt={day}"


def trained(
    version: int | None, seed: int, *, as_of: date = DAY, code: str = "code", data: Iterable[str] = ()
) -> Training:
    return Training(
        model="churn",
        as_of=as_of,
        version=version,
        seed=seed,
        trials=4,
        reason="test",
        code_version=code,
        data=frozenset(data),
    )


def evidence(*damages: Damage, **found: Any) -> Evidence:
    counts = {"partitions": 9, "checked": 9, "sampled": 0}
    known = {**counts, "stray": (), "unknown": (), "tried": {}, "code_version": "code"}
    return Evidence(damages=damages, **known | found)


def decided(*damages: Damage, **found: Any) -> Decision:
    return decide(evidence(*damages, **found), CATALOG, SCOPE)


def woken(decision: Decision) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    return [(wake.dag_id, dict(wake.form), wake.heals) for wake in decision.wakes]


@pytest.mark.parametrize(
    ("prefix", "dag_id"),
    [
        ("raw/customers", "customers_etl"),
        (RAW, "customers_etl"),
        ("clean/customers/churns", "customers_etl"),
        ("quarantine/customers/churns", "customers_etl"),
        (FEATURES, "customers_etl"),
        ("reports/customers/validation", "customers_etl"),
        (LABELS, "churn_training"),
        (CHURN.training_rows_prefix, "churn_training"),
        (STAGING, "churn_training"),
        (CHURN.staged_segments_prefix, "churn_training"),
        (CHURN.reference_prefix(3), "churn_training"),
        (f"{CARD}/version=3", "churn_training"),
        ("predictions/churn", "churn_scoring"),
        (CHURN.shadow_prefix(3), "churn_shadow"),
        (CHURN.staged_scores_prefix, "churn_scoring"),
        ("reports/churn/drift", "churn_monitoring"),
        ("reports/churn/performance", "churn_monitoring"),
        ("features/customers_of_old", None),
        ("features", None),
        ("reports/churn", None),
        ("predictions/returns", None),
    ],
)
def test_each_prefix_has_the_dag_that_makes_it(prefix: str, dag_id: str | None) -> None:
    maker = CATALOG.maker(prefix)

    assert (maker and maker.dag_id) == dag_id


def test_only_predictions_have_a_file_that_names_the_newest_day() -> None:
    assert [maker.prefix for maker in CATALOG.makers if maker.latest] == ["predictions/churn"]


@pytest.mark.parametrize(
    ("asked", "on_demand"),
    [
        ({}, False),
        ({"prefix": " /features/customers/ "}, True),
        ({"days": (DAY, DAY)}, True),
        ({"dry_run": True}, True),
    ],
)
def test_what_somebody_asked_for_has_a_report_of_its_own(asked: dict[str, Any], on_demand: bool) -> None:
    report = Scope(until=DAY, started_at=STARTED, **asked).report

    assert report == ("reports/lake/maintenance_on_demand" if on_demand else "reports/lake/maintenance")


def test_a_scope_looks_at_the_days_asked_for_or_else_at_recent_ones() -> None:
    asked = Scope(until=DAY, started_at=STARTED, days=(later(-9), later(-8)))

    assert asked.window == (later(-9), later(-8))
    assert SCOPE.window == (later(-29), DAY)
    assert Scope(until=DAY, started_at=STARTED, recent_days=1).window == (DAY, DAY)


@pytest.mark.parametrize(
    ("prefix", "covered"),
    [
        ("", True),
        ("/features/", True),
        ("features/customers", True),
        ("features/customers/dt=2026-03-01", True),
        ("features/customers/dt=2026-03", False),
        ("features/custom", False),
        ("raw", False),
    ],
)
def test_a_scope_covers_what_lies_under_its_prefix(prefix: str, covered: bool) -> None:
    assert Scope(until=DAY, started_at=STARTED, prefix=prefix).covers(path(FEATURES)) is covered


@pytest.mark.parametrize("setting", [{"recent_days": 0}, {"sample": -1}, {"keep_days": 0}])
def test_a_scope_without_sense_is_refused(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="greater than or equal"):
        Scope(until=DAY, started_at=STARTED, **setting)


def test_the_least_scope_is_one_day_and_no_sample() -> None:
    least = Scope(until=DAY, started_at=STARTED, recent_days=1, sample=0, keep_days=1)

    assert (SCOPE.sample, SCOPE.keep_days, least.sample) == (200, 7, 0)


def test_days_in_a_row_are_one_run_whatever_their_prefix() -> None:
    decision = decided(
        damaged(FEATURES, later(1)),
        damaged(RAW),
        damaged(FEATURES),
        damaged(RAW, later(3)),
        damaged(RAW, later(5)),
    )

    assert woken(decision) == [
        (
            "customers_etl",
            {"day": f"{DAY}", "last_day": f"{later(1)}"},
            (path(FEATURES), path(FEATURES, later(1)), path(RAW)),
        ),
        ("customers_etl", {"day": f"{later(3)}", "last_day": f"{later(3)}"}, (path(RAW, later(3)),)),
        ("customers_etl", {"day": f"{later(5)}", "last_day": f"{later(5)}"}, (path(RAW, later(5)),)),
    ]
    assert decision.lost == {}


def test_predictions_and_what_is_staged_for_them_are_one_run() -> None:
    decision = decided(damaged("predictions/churn"), damaged(CHURN.staged_scores_prefix, later(1)))

    [wake] = woken(decision)
    assert wake[:2] == ("churn_scoring", {"day": f"{DAY}", "last_day": f"{later(1)}"})


def test_a_form_that_takes_one_day_is_sent_for_each_day() -> None:
    decision = decided(damaged("reports/churn/drift", later(1)), damaged("reports/churn/performance"))

    assert woken(decision) == [
        ("churn_monitoring", {"day": f"{DAY}"}, (path("reports/churn/performance"),)),
        ("churn_monitoring", {"day": f"{later(1)}"}, (path("reports/churn/drift", later(1)),)),
    ]


def test_earlier_stages_come_first_and_then_earlier_days() -> None:
    prefixes = ("reports/churn/drift", "predictions/churn", CHURN.reference_prefix(1), FEATURES)
    both = [damaged(prefix, day) for prefix in prefixes for day in (later(2), DAY)]
    trainings = [trained(1, 7), trained(1, 7, as_of=later(2))]

    wakes = decided(*both, trainings=tuple(trainings)).wakes

    assert [(wake.dag_id, wake.form["day"]) for wake in wakes] == [
        (dag_id, f"{day}")
        for dag_id in ("customers_etl", "churn_training", "churn_scoring", "churn_monitoring")
        for day in (DAY, later(2))
    ]
    assert [wake.stage for wake in wakes] == [0, 0, 1, 1, 2, 2, 4, 4]


def test_what_no_dag_makes_is_lost() -> None:
    decision = decided(damaged("features/of_old"), damaged(FEATURES))

    assert decision.lost == {path("features/of_old"): "No DAG makes it; restore it from a backup, or delete it."}
    assert [wake.heals for wake in decision.wakes] == [(path(FEATURES),)]


@pytest.mark.parametrize("prefix", [FEATURES, CHURN.reference_prefix(1)])
def test_what_a_run_did_not_heal_is_not_tried_again(prefix: str) -> None:
    decision = decided(damaged(prefix), tried={path(prefix): later(-7)}, trainings=(trained(1, 7),))

    assert decision.wakes == ()
    assert f"was run for it on {later(-7)} and did not help" in decision.lost[path(prefix)]


@pytest.mark.parametrize(("staged_seed", "order"), [(7, [8, 7]), (8, [7, 8])])
def test_of_two_trainings_of_a_day_the_staged_one_is_repeated_last(staged_seed: int, order: list[int]) -> None:
    prefixes = (STAGING, CHURN.reference_prefix(1), CHURN.reference_prefix(2))

    wakes = decided(
        *map(damaged, prefixes), trainings=(trained(None, staged_seed), trained(1, 7), trained(2, 8))
    ).wakes

    assert [wake.form["seed"] for wake in wakes] == order
    assert path(STAGING) in wakes[-1].heals


def test_a_training_is_repeated_once_for_all_that_it_made() -> None:
    prefixes = (CHURN.reference_prefix(1), f"{CARD}/version=1", STAGING)

    decision = decided(*map(damaged, prefixes), trainings=(trained(None, 7), trained(1, 7)))

    form = {"day": f"{DAY}", "trials": 4, "seed": 7, "reason": "test"}
    assert woken(decision) == [("churn_training", form, tuple(sorted(map(path, prefixes))))]
    assert decision.wakes[0].stage == 1


FIRST, SECOND, STAGED = trained(1, 7), trained(2, 8), trained(None, 9)


@pytest.mark.parametrize(
    ("prefix", "trainings", "seed"),
    [
        (CHURN.reference_prefix(1), [FIRST, SECOND, STAGED], 7),
        (CHURN.reference_prefix(2), [FIRST, SECOND, STAGED], 8),
        (CHURN.reference_prefix(12), [FIRST, SECOND, STAGED], 9),
        (CHURN.reference_prefix(12), [FIRST, SECOND], None),
        (STAGING, [STAGED, FIRST, SECOND], 9),
        (STAGING, [FIRST, SECOND], 8),
        (STAGING, [SECOND, FIRST], 7),
        (STAGING, [], None),
        (STAGING, [trained(None, 9, as_of=later(1)), trained(1, 7, as_of=later(-1))], None),
        (CHURN.reference_prefix(1), [trained(1, 7).model_copy(update={"model": "returns"})], None),
    ],
)
def test_what_a_training_made_is_rebuilt_by_the_record_that_fits_best(
    prefix: str, trainings: Sequence[Training], seed: int | None
) -> None:
    decision = decided(damaged(prefix), trainings=tuple(trainings))

    assert [wake.form["seed"] for wake in decision.wakes] == ([] if seed is None else [seed])
    if seed is None:
        reason = f"No record of a training as of {DAY} is left; restore it from a backup."
        assert decision.lost == {path(prefix): reason}


@pytest.mark.parametrize(
    ("trainings", "as_of"),
    [
        ([trained(1, 7, as_of=later(1), data=[path(LABELS)]), trained(2, 7, as_of=later(3))], later(1)),
        ([trained(2, 7, as_of=later(3), data=[path(LABELS)]), trained(1, 7, as_of=later(1))], later(3)),
        ([trained(1, 7, as_of=later(1)), trained(2, 7, as_of=later(3))], later(1)),
        ([trained(1, 7, as_of=DAY, data=[path(LABELS)])], None),
        ([], None),
    ],
)
def test_labels_are_rebuilt_by_a_later_training_that_read_them(
    trainings: Sequence[Training], as_of: date | None
) -> None:
    decision = decided(damaged(LABELS), trainings=tuple(trainings))

    assert [wake.form["day"] for wake in decision.wakes] == ([] if as_of is None else [f"{as_of}"])
    if as_of is None:
        reason = "No training on record has read it: the next training that needs it rebuilds it."
        assert decision.lost == {path(LABELS): reason}


def test_other_code_would_make_another_model_so_nothing_is_rebuilt() -> None:
    old = tuple(trained(1, 7, code=code) for code in ("oldest", "older", "old"))

    lost = decided(damaged(CHURN.reference_prefix(1)), trainings=old).lost
    same = decided(damaged(CHURN.reference_prefix(1)), trainings=(*old, FIRST, trained(1, 8))).wakes

    assert lost[path(CHURN.reference_prefix(1))].startswith("It was built by code old; the code at work, code,")
    assert [wake.form["seed"] for wake in same] == [8]


def test_what_came_of_it_is_healed_remaining_and_not_to_be_tried_again() -> None:
    paths = {prefix: path(prefix) for prefix in (RAW, FEATURES, "predictions/churn", "features/of_old", LABELS)}
    found = evidence(*map(damaged, paths), tried={paths[LABELS]: later(-7), path("gone"): later(-7)})
    wakes = tuple(
        Wake(dag_id="a_dag", stage=0, form={"day": f"{DAY}"}, heals=(paths[prefix],))
        for prefix in (RAW, FEATURES, "predictions/churn")
    )
    remaining = [damaged(prefix) for prefix in (FEATURES, "features/of_old", LABELS)]

    outcome = conclude(found, Decision(wakes=wakes, lost={}, sweep=()), remaining, 17, DAY)

    assert outcome.healed == (damaged(RAW), damaged("predictions/churn"))
    assert outcome.remaining == tuple(remaining)
    assert outcome.freed == 17
    assert outcome.tried == {paths[FEATURES]: DAY, paths[LABELS]: later(-7)}


def test_a_run_that_did_nothing_passes_on_what_was_tried_before() -> None:
    found = evidence(damaged(LABELS), tried={path(LABELS): later(-7)})
    decision = Decision(wakes=(), lost={}, sweep=())
    verdict = Verdict(status="bad", headline="A partition is damaged.", reason="It is lost.")
    report = MaintenanceReport(verdict=verdict, scope=SCOPE, evidence=found, decision=decision, outcome=None)
    ended = report.model_copy(update={"outcome": conclude(found, decision, [], 0, DAY)})

    assert report.tried == {path(LABELS): later(-7)}
    assert ended.tried == {}


@pytest.mark.parametrize(
    ("key", "age", "damages", "goes"),
    [
        ("features/customers/old.parquet", timedelta(days=7, seconds=1), [], True),
        ("features/customers/old.parquet", timedelta(days=7), [], False),
        ("staging/churn/old.parquet", timedelta(days=8), [], True),
        ("staging/churn/old.parquet", timedelta(days=8), [RAW, STAGING], True),
        ("staging/churn/old.parquet", timedelta(days=8), [RAW, CHURN.reference_prefix(1)], False),
        ("staging/churn/old.parquet", timedelta(days=8), [f"{CARD}/version=1"], False),
        ("features/customers/old.parquet", timedelta(days=8), [CHURN.reference_prefix(1)], True),
    ],
)
def test_what_is_old_goes_unless_a_repair_may_need_it(
    key: str, age: timedelta, damages: Sequence[str], goes: bool
) -> None:
    fresh = StrayFile(key="features/customers/new.parquet", bytes=1, written=STARTED)
    file = StrayFile(key=key, bytes=1, written=STARTED - age)

    decision = decided(*map(damaged, damages), stray=(fresh, file))

    assert decision.sweep == ((file,) if goes else ())


def test_a_day_that_the_warehouse_lacks_wakes_the_scoring_once_also_where_its_files_are_damaged() -> None:
    lacking = Damage(prefix="predictions/churn", day=DAY, problem="Not loaded.", table="ml.churn_predictions")
    files = damaged("predictions/churn")

    for damages in ([lacking], [lacking, files]):
        assert woken(decided(*damages)) == [
            ("churn_scoring", {"day": str(DAY), "last_day": str(DAY)}, (path("predictions/churn"),))
        ]


@pytest.mark.parametrize(
    ("lacking", "broken", "headline"),
    [
        (1, 0, "1 day of predictions is missing or old in the warehouse"),
        (2, 0, "2 days of predictions are missing or old in the warehouse"),
        (2, 1, "1 partition is damaged or missing, 2 days of predictions are missing or old in the warehouse"),
    ],
)
def test_the_verdict_tells_damage_of_the_lake_from_what_the_warehouse_lacks(
    lacking: int, broken: int, headline: str
) -> None:
    unloaded = [
        Damage(prefix="predictions/churn", day=later(number), problem="Not loaded.", table="ml.churn_predictions")
        for number in range(lacking)
    ]
    found = evidence(*unloaded, *(damaged(FEATURES, later(number)) for number in range(broken)))
    decision = decide(found, CATALOG, SCOPE)

    assert verdict_of(SCOPE, found, decision, None).headline == headline
    outcome = conclude(found, decision, [], 0, DAY)
    healed = verdict_of(SCOPE, found, decision, outcome).headline
    assert f"{lacking} day{'s' if lacking > 1 else ''} of predictions" in healed
    assert healed.endswith("loaded into the warehouse")
    html = render_maintenance(SCOPE, verdict_of(SCOPE, found, decision, None), found, decision, None)
    assert "Missing or old in the warehouse" in html
    assert ("Damaged or missing" in html) == bool(broken)
