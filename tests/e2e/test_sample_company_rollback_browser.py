"""Forms that are filled in with values and sent, in a real browser; skipped where no Chromium is installed.

The company has two champions to choose from, as the module on rollbacks leaves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from include.stack.services import ADMIN_NAME
from tests.e2e.champions import Row, champion, ledger, scored_by
from tests.e2e.chromium import keep_picture, launched, log_in, needs_chromium, open_form, open_tab, playwright_api
from tests.e2e.conftest import START, World

pytestmark = needs_chromium

REASON = "Tried in the browser."


class Champions(NamedTuple):
    """The present champion and the one before."""

    former: int
    present: int


@pytest.fixture
def champions(company: World) -> Champions:
    company.wait_until_quiet("churn_scoring")
    present = champion(company)
    former = next(row.before for row in reversed(ledger(company)) if row.before not in (None, present))
    assert former is not None
    return Champions(former, present)


@pytest.fixture
def tab(company: World) -> Iterator[Any]:
    """A wide, light tab."""
    with launched() as browser:
        page = open_tab(browser, company, log_in(browser, company))
        yield page
        page.context.close()


def fill(tab: Any, **values: object) -> None:
    """Type values into fields of the open form, by their names."""
    for name, value in values.items():
        field = tab.locator(f"input[name=element_{name}]")
        field.fill(str(value))
        field.blur()
        playwright_api.expect(field).to_have_value(str(value))


def send(tab: Any, company: World, dag_id: str, button: Any) -> Row:
    """Press Trigger, and wait for the end of the run; returns the ledger's newest entry."""
    before = {run["dag_run_id"] for run in company.api.runs(dag_id)}
    button.click()
    tab.get_by_role("dialog").wait_for(state="hidden")
    [run_id] = [
        run["dag_run_id"]
        for run in company.api.runs(dag_id)
        if run["dag_run_id"] not in before and run["run_type"] == "manual"
    ]
    ended = company.wait(dag_id, run_id)
    assert ended.state == "success", ended.tasks
    return ledger(company)[-1]


def choose_action(tab: Any, label: str) -> None:
    tab.locator("#element_action").click()
    tab.get_by_role("option", name=label, exact=False).click()


def test_an_ab_test_begins_and_ends_as_the_form_says(company: World, champions: Champions, tab: Any) -> None:
    button = open_form(tab, "churn_shadow")
    choose_action(tab, "Score in shadow")
    fill(tab, version=champions.former, reason=REASON, share="0.2", test_days="14")
    keep_picture(tab, "form_of_an_ab_test")

    begun = send(tab, company, "churn_shadow", button)

    assert (begun.action, begun.actor, begun.candidate) == ("shadow", ADMIN_NAME, champions.former)
    assert (begun.evidence["ab_test"]["share"], begun.evidence["ab_test"]["days"]) == (0.2, 14)
    assert champion(company) == champions.present

    button = open_form(tab, "churn_shadow")
    choose_action(tab, "Withdraw")
    fill(tab, reason=REASON)
    ended = send(tab, company, "churn_shadow", button)

    assert (ended.action, ended.actor) == ("withdraw", ADMIN_NAME)
    assert champion(company) == champions.present


def test_a_rollback_that_scores_again_is_sent_by_its_switches(
    company: World, champions: Champions, tab: Any
) -> None:
    button = open_form(tab, "churn_rollback")
    fill(tab, version=champions.former, reason=REASON)
    for name in ("rescore", "dry_run"):
        tab.locator(f"label:has(input[name=element_{name}])").click()
    keep_picture(tab, "form_of_a_rollback")

    done = send(tab, company, "churn_rollback", button)

    assert (done.action, done.actor, done.after) == ("rollback", ADMIN_NAME, champions.former)
    assert REASON in done.reason
    company.wait_for_predictions("churn", START, str(champions.former))
    assert scored_by(company) == champions.former
