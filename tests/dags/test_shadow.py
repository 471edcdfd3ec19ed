"""A challenger as Airflow runs it: it is made one, withdrawn, refused, and what each leaves in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.monitoring.performance_verdict import VERDICT, PerformanceVerdict
from include.lifecycle.promotion import ab_test, ab_test_policy, ledger, registry, shadow
from include.lifecycle.promotion.ab_test_policy import AbTestEvidence, Arm
from include.lifecycle.promotion.ledger import Aliases, Entry
from include.lifecycle.promotion.shadow_policy import ShadowComparison
from include.lifecycle.scoring import shadow_scoring
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from ml_lifecycle import shadows, trainings
from tests.gate_evidence import behaviour, gate_evidence

NO_GAIN = {"gain": 0.0, "gain_lower_bound": -0.01, "gain_upper_bound": 0.01}
KNOWN = gate_evidence(candidate_version=1).model_dump(mode="json")
FIRST = Entry("churn", "promote", 1, None, 1, date(2026, 1, 1), "gate", "It is better.", KNOWN, "first")
SECOND = replace(
    FIRST,
    action="keep",
    candidate=2,
    evidence=gate_evidence(candidate_version=2, **NO_GAIN).model_dump(mode="json"),
    from_version=1,
    effective_from=date(2026, 2, 1),
    run_id="second",
    digests={"2": "ab"},
)
DAY = date(2026, 2, 3)
REASON = "It may be better on live data."
Trigger = Callable[..., Any]


@pytest.fixture
def shown(notified: list[Any]) -> dict[str, Any]:
    """What the registry and people were told."""
    return {"aliases": [], "cards": [], "notified": notified}


@pytest.fixture
def trigger(trigger_of: Any, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Trigger:
    """Triggers `churn_shadow`, as its form opens but for what is given; returns the run."""
    monkeypatch.setattr(registry, "set_aliases", lambda _, name, aliases: shown["aliases"].append(aliases))
    monkeypatch.setattr(registry, "tag_version", lambda *_: None)
    monkeypatch.setattr(trainings, "renew_card", lambda _, version: shown["cards"].append(version))
    trigger: Trigger = trigger_of("churn_shadow", (FIRST, SECOND))
    return trigger


def actions(postgres: Any) -> list[str]:
    return [entry.action for entry in ledger.entries(postgres, "churn")]


def states(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_a_version_that_the_gate_refused_becomes_challenger_and_the_ledger_says_who_asked_and_why(
    trigger: Trigger, postgres: Any, shown: dict[str, Any]
) -> None:
    run = trigger(action="shadow", version=2, reason=REASON)

    *_, entry = ledger.entries(postgres, "churn")
    assert run.state == "success"
    assert (entry.action, entry.candidate, entry.from_version, entry.to_version) == ("shadow", 2, 1, 1)
    assert (entry.actor, entry.reason, entry.run_id) == ("dag_test", REASON, run.run_id)
    assert entry.effective_from == SECOND.effective_from
    assert shown["aliases"][-1] == Aliases(1, 2)
    [notification] = shown["notified"]
    assert notification.title == "Customer churn: version 2 scores in shadow"
    assert notification.reason == f"dag_test: {REASON}"


def test_the_challenger_is_withdrawn_without_being_named(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    monkeypatch.delattr(registry, "fault")

    run = trigger(action="withdraw", version=None, reason="It is no better.")

    assert run.state == "success"
    assert actions(postgres) == ["promote", "keep", "shadow", "withdraw"]
    assert shown["aliases"][-1] == Aliases(1, None)


@pytest.mark.parametrize(
    "form",
    [
        {"action": "shadow", "version": 2, "reason": None},
        {"action": "shadow", "version": None},
        {"action": "shadow", "version": 1},
        {"action": "shadow", "version": 7},
        {"action": "withdraw", "version": None},
    ],
    ids=["no reason", "no version", "champion", "unknown", "no challenger"],
)
def test_a_request_that_cannot_be_met_fails_without_a_retry_and_changes_nothing(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], form: dict[str, Any]
) -> None:
    run = trigger(**{"reason": REASON, **form})

    assert run.state == "failed"
    assert ledger.entries(postgres, "churn") == [FIRST, SECOND]
    assert shown["aliases"] == []
    assert [notification.title for notification in shown["notified"]] == ["churn_shadow.change failed"]
    assert shown["notified"][0].reason.startswith("Nothing is changed. ")


def test_a_version_whose_file_cannot_be_used_becomes_no_challenger(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "fault", lambda *_: "Its file is empty.")

    assert trigger(action="shadow", version=2, reason=REASON).state == "failed"
    assert actions(postgres) == ["promote", "keep"]


def test_a_task_that_is_cleared_after_its_change_changes_nothing_again(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = shadows.change

    def twice(*asked: Any) -> dict[str, Any]:
        change(*asked)
        return change(*asked)

    monkeypatch.setattr(shadows, "change", twice)

    assert trigger(action="shadow", version=2, reason=REASON).state == "success"
    assert actions(postgres) == ["promote", "keep", "shadow"]


def test_new_predictions_wake_a_run_that_changes_nothing_and_is_skipped_without_a_challenger(
    trigger: Trigger, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(shadows, "load_scorer")

    run = trigger()

    assert states(run) == {"change": "skipped", "wake_scoring": "skipped", "score": "skipped"}
    assert actions(postgres) == ["promote", "keep"]


def test_the_challenger_scores_as_soon_as_it_is_one(trigger: Trigger, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[Any] = []
    monkeypatch.setattr(shadow_scoring, "plan", lambda *_: [DAY])
    monkeypatch.setattr(shadows, "load_scorer", lambda *asked: asked[3:])
    monkeypatch.setattr(shadow_scoring, "score_days", lambda *asked: scored.append(asked[2:4]) or {})

    run = trigger(action="shadow", version=2, reason=REASON)

    assert states(run) == {"change": "success", "wake_scoring": "skipped", "score": "success"}
    assert scored == [([DAY], (2, "ab"))]


def test_what_is_wrong_with_the_challenger_is_notified_and_says_that_predictions_are_not_affected(
    trigger: Trigger, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise UnusableModelError("It is gone.")

    trigger(action="shadow", version=2, reason=REASON)
    monkeypatch.setattr(shadow_scoring, "plan", lambda *_: [DAY])
    monkeypatch.setattr(shadows, "load_scorer", gone)
    assert states(trigger()) == {"change": "skipped", "wake_scoring": "skipped", "score": "failed"}
    monkeypatch.setattr(shadows, "load_scorer", lambda *_: None)
    monkeypatch.setattr(shadow_scoring, "score_days", lambda *_: {DAY: "It has no rows."})
    assert states(trigger()) == {"change": "skipped", "wake_scoring": "skipped", "score": "failed"}

    _, unusable, unscored = (notification.reason for notification in shown["notified"])
    assert unusable.startswith("The challenger cannot score. It is gone. Withdraw it by the form; the champion's")
    assert unscored.startswith("The challenger, version 2, has not scored 1 of 1 days; the champion's predictions")
    assert "2026-02-03: It has no rows." in unscored


def compared(lake: Lake, run: RunInfo, scratch: Path, **changes: Any) -> None:
    """Publish a performance report that sets version 2 beside version 1."""
    found = {"champion": 1, "challenger": 2, "title": "Average precision", "days": [DAY], "rows": 5000}
    gain = {"gain": 0.05, "gain_lower_bound": 0.01, "gain_upper_bound": 0.09}
    nothing: dict[str, Any] = {"measures": {}, "baseline_measures": {}}
    verdict = PerformanceVerdict(
        days=(DAY,),
        rows=5000,
        shortage=None,
        coverage=None,
        promised=None,
        verdict="as expected",
        reason="",
        shadow=ShadowComparison.model_validate({**found, **gain, **changes}),
        **nothing,
    )
    (scratch / VERDICT).write_text(verdict.model_dump_json())
    lake.publish("reports/churn/performance", DAY, [LocalFile(scratch / VERDICT)], run=run)


def test_a_challenger_that_is_better_on_enough_outcomes_leaves_the_shadow_as_champion(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    compared(lake, run, tmp_path)

    done = trigger(action="promote", version=None, reason="It is better on live data.")

    *_, entry = ledger.entries(postgres, "churn")
    assert states(done) == {"change": "success", "wake_scoring": "success", "score": "skipped"}
    assert (entry.action, entry.candidate, entry.from_version, entry.to_version) == ("promote", 2, 1, 2)
    assert (entry.actor, entry.effective_from) == ("dag_test", SECOND.effective_from)
    assert entry.evidence["comparison"]["gain_lower_bound"] == 0.01
    assert shown["aliases"][-1] == Aliases(2, None)
    assert shown["cards"] == [2]
    assert shown["notified"][-1].title == "Customer churn: version 2 leaves the shadow and replaces version 1"


def with_features(lake: Lake, run: RunInfo, scratch: Path, *days: date) -> None:
    for day in days:
        (scratch / "part.parquet").write_bytes(b"rows")
        lake.publish("features/customers", day, [LocalFile(scratch / "part.parquet", 1)], run=run)


def judged(lake: Lake, run: RunInfo, scratch: Path, statement: Any, **changes: Any) -> None:
    """Publish a performance report that says what came of an A/B test, and has nothing to say of the gain."""
    arms = {"champion_arm": Arm(keys=4000, mean=0.06, deviation=0.2)}
    arms["challenger_arm"] = Arm(keys=1000, mean=0.03, deviation=0.2)
    known = {"test": statement, "champion": 1, "challenger": 2, **arms, **changes}
    result = ab_test_policy.decide(AbTestEvidence.model_validate(known))
    compared(lake, run, scratch, gain_lower_bound=None)
    verdict = PerformanceVerdict.model_validate(lake.read_json("reports/churn/performance", DAY, VERDICT))
    (scratch / VERDICT).write_text(verdict.model_copy(update={"ab_test": result}).model_dump_json())
    lake.publish("reports/churn/performance", DAY, [LocalFile(scratch / VERDICT)], run=run)


def test_a_challenger_with_a_share_begins_a_test_that_the_ledger_states_and_the_first_unscored_day_is_its_first(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    with_features(lake, run, tmp_path, date(2026, 2, 9), date(2026, 2, 10))

    done = trigger(action="shadow", version=2, reason=REASON, share=0.2, test_days=14)

    *_, entry = ledger.entries(postgres, "churn")
    assert done.state == "success"
    assert entry.evidence["ab_test"] == {
        "share": 0.2,
        "salt": "churn version 2 from 2026-02-11",
        "first_day": "2026-02-11",
        "days": 14,
        "aim": "lower",
        "outcome": "mean label of a key",
        "level": 0.05,
    }
    assert shown["aliases"][-1] == Aliases(1, 2)


def test_a_test_is_ended_with_the_last_day_that_may_have_been_scored(
    trigger: Trigger, postgres: Any, lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    with_features(lake, run, tmp_path, date(2026, 2, 10))
    trigger(action="shadow", version=2, reason=REASON, share=0.2)
    with_features(lake, run, tmp_path, date(2026, 2, 11), date(2026, 2, 12))

    trigger(action="withdraw", version=None, reason="It takes too long.", share=0)

    [split] = ab_test.splits(ledger.entries(postgres, "churn"))
    assert (split.test.first_day, split.last_day) == (date(2026, 2, 11), date(2026, 2, 12))


def test_a_share_that_cannot_be_tested_changes_nothing(trigger: Trigger, shown: dict[str, Any]) -> None:
    assert trigger(action="shadow", version=2, reason=REASON, share=0.2, test_days=180).state == "failed"

    assert shown["aliases"] == []
    assert "but a weekly report may look back no more than 173; choose fewer." in shown["notified"][-1].reason


def test_a_test_decides_about_the_promotion_and_the_ledger_keeps_what_it_said(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    trigger(action="shadow", version=2, reason=REASON, share=0.2)
    statement = ledger.entries(postgres, "churn")[-1].evidence["ab_test"]
    compared(lake, run, tmp_path)
    assert trigger(action="promote", version=None, reason=REASON, share=0).state == "failed"
    assert "says nothing of the A/B test" in shown["notified"][-1].reason
    judged(lake, run, tmp_path, statement, champion_arm=None)
    assert trigger(action="promote", version=None, reason=REASON, share=0).state == "failed"
    assert "The A/B test decides." in shown["notified"][-1].reason
    judged(lake, run, tmp_path, statement)

    assert trigger(action="promote", version=None, reason=REASON, share=0).state == "success"

    *_, entry = ledger.entries(postgres, "churn")
    assert (entry.action, entry.to_version) == ("promote", 2)
    assert entry.evidence["result"]["verdict"] == "better"
    assert entry.evidence["result"]["reason"].startswith("The mean outcome is 0.03 for the 1,000 keys of the")
    assert ab_test.running(ledger.entries(postgres, "churn")) is None


def test_a_test_that_was_not_won_is_not_passed_by_without_another_one(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    # given: the challenger of a test is withdrawn, and comes back without a share, better on the same rows
    trigger(action="shadow", version=2, reason=REASON, share=0.2)
    statement = ledger.entries(postgres, "churn")[-1].evidence["ab_test"]
    trigger(action="withdraw", version=None, reason="It does not win.", share=0)
    trigger(action="shadow", version=2, reason=REASON, share=0)
    compared(lake, run, tmp_path)

    assert trigger(action="promote", version=None, reason=REASON, share=0).state == "failed"

    assert "begin another test" in shown["notified"][-1].reason
    assert actions(postgres) == ["promote", "keep", "shadow", "withdraw", "shadow"]
    judged(lake, run, tmp_path, statement)
    assert trigger(action="promote", version=None, reason=REASON, share=0).state == "success"


def test_a_report_that_cannot_be_read_is_told_as_one_that_says_nothing(
    trigger: Trigger, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    compared(lake, run, tmp_path)
    [body] = [key for key in lake.keys("reports/churn/performance/") if "verdict" in key]
    lake.write_object(body, b"damaged")

    assert trigger(action="promote", version=None, reason=REASON).state == "failed"

    assert shown["notified"][-1].reason.startswith("Nothing is changed. The newest performance report compares no")


def test_a_run_that_has_the_id_of_another_one_says_so(trigger: Trigger, postgres: Any) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    entry = ledger.entries(postgres, "churn")[-1]

    with pytest.raises(ValueError, match="The ledger has 'keep' of version 2 by a run 'second', so that"):
        shadow.change("", postgres, replace(entry, action="promote", to_version=2, run_id=SECOND.run_id))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "compares no challenger"),
        ({"gain_lower_bound": 0.0}, "is not above 0."),
        ({"rows": 10}, "The outcomes of 10 predictions"),
        ({"champion": 7}, "compares version 2 with version 7"),
    ],
)
def test_a_challenger_that_has_not_shown_to_be_better_stays_one(
    trigger: Trigger,
    postgres: Any,
    shown: dict[str, Any],
    lake: Lake,
    run: RunInfo,
    tmp_path: Path,
    changes: dict[str, Any] | None,
    reason: str,
) -> None:
    trigger(action="shadow", version=2, reason=REASON)
    if changes is not None:
        compared(lake, run, tmp_path, **changes)

    done = trigger(action="promote", version=2, reason=REASON)

    assert done.state == "failed"
    assert actions(postgres) == ["promote", "keep", "shadow"]
    assert reason in shown["notified"][-1].reason


def test_what_the_gate_refused_a_version_for_besides_its_gain_stops_it_in_the_shadow_too(
    trigger: Trigger, postgres: Any, shown: dict[str, Any], lake: Lake, run: RunInfo, tmp_path: Path
) -> None:
    failed = gate_evidence(candidate_version=3, behaviour=(behaviour(passed=False),)).model_dump(mode="json")
    ledger.record(postgres, replace(SECOND, candidate=3, evidence=failed, run_id="third"))
    trigger(action="shadow", version=3, reason=REASON)
    compared(lake, run, tmp_path, challenger=3)

    trigger(action="promote", version=3, reason=REASON)

    assert actions(postgres) == ["promote", "keep", "keep", "shadow"]
    assert "The gate has refused version 3: " in shown["notified"][-1].reason


def test_the_form_takes_no_other_action_no_version_below_1_no_reason_of_a_word_and_no_share_above_a_half(
    dags: dict[str, Any],
) -> None:
    params = dags["churn_shadow"].params
    wrong = [("action", "delete"), ("version", 0), ("reason", "bad"), ("reason", "x" * 501)]
    wrong += [("share", 0.51), ("share", -0.1), ("test_days", 0), ("test_days", 1.5)]
    for field, refused in wrong:
        with pytest.raises(ParamValidationError):
            params.get_param(field).resolve(refused)
