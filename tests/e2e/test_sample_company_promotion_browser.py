"""A proposal that is read and answered in a real browser; skipped where no Chromium is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.stack.services import ADMIN_NAME
from tests.e2e.champions import champion, damaged_champion, ledger, propose
from tests.e2e.chromium import keep_picture, launched, log_in, needs_chromium, open_tab, playwright_api
from tests.e2e.conftest import World

pytestmark = needs_chromium


@pytest.fixture
def tab(company: World) -> Iterator[Any]:
    """A wide, light tab."""
    with launched() as browser:
        page = open_tab(browser, company, log_in(browser, company))
        yield page
        page.context.close()


def test_a_proposal_is_read_and_approved_with_a_comment(company: World, tab: Any) -> None:
    company.wait_until_quiet("churn_scoring")
    with damaged_champion(company) as before:
        run_id = propose(company, seed=204)
        tab.goto("/")
        tab.get_by_text("Required Action", exact=False).first.click()
        playwright_api.expect(tab.get_by_text("Why you are asked:").first).to_be_visible()
        card = tab.get_by_role("link", name="Model card", exact=False).get_attribute("href")
        keep_picture(tab, "approval")
        tab.locator("input[name=element_comment]").fill("Seen in the browser.")
        tab.get_by_role("button", name="Approve").click()

        ended = company.wait("churn_training", run_id)

    assert ended.state == "success", ended.tasks
    row = ledger(company)[-1]
    assert (row.action, row.actor, row.before) == ("approve", ADMIN_NAME, before)
    assert row.reason.endswith('wrote: "Seen in the browser."')
    assert champion(company) == row.candidate
    tab.goto(card)
    playwright_api.expect(tab.get_by_text(f"Version {row.candidate}, approved", exact=False)).to_be_visible()
    playwright_api.expect(tab.get_by_text("Seen in the browser.", exact=False).first).to_be_visible()
    keep_picture(tab, "card_of_an_approved_version")
