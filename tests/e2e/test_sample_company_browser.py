"""What people click, in a real browser: log in, form, Trigger, button, page, next day; wide, on a phone, dark.

Skipped where no Chromium is installed. ML_SCREENSHOTS=<folder> keeps a picture of each page.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.chromium import (
    PATIENCE_MS,
    PHONE,
    WIDE,
    keep_picture,
    launched,
    log_in,
    needs_chromium,
    open_form,
    open_tab,
    playwright_api,
)
from tests.e2e.conftest import START, World

pytestmark = needs_chromium

SCREENS = [(WIDE, "light"), (PHONE, "light"), (WIDE, "dark"), (PHONE, "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def login(browser: Any, company: World) -> Any:
    return log_in(browser, company)


@pytest.fixture
def tab(browser: Any, company: World, login: Any) -> Iterator[Any]:
    """A wide, light tab."""
    page = open_tab(browser, company, login)
    yield page
    page.context.close()


def test_every_form_can_be_sent_as_it_opens(tab: Any, company: World) -> None:
    for dag_id in sorted(company.api.dag_ids()):
        button = open_form(tab, dag_id)
        playwright_api.expect(button).to_be_enabled(timeout=PATIENCE_MS)
        keep_picture(tab, f"form_{dag_id}")


def test_trigger_starts_a_run_whose_page_is_behind_its_button(tab: Any, company: World) -> None:
    company.api.unpause("churn_monitoring")
    before = {run["dag_run_id"] for run in company.api.runs("churn_monitoring")}
    form = open_form(tab, "churn_monitoring")
    form.click()
    tab.get_by_role("dialog").wait_for(state="hidden")
    [run_id] = {run["dag_run_id"] for run in company.api.runs("churn_monitoring")} - before
    finished = company.wait("churn_monitoring", run_id)
    assert finished.state == "success", finished.tasks

    tab.goto(f"/dags/churn_monitoring/runs/{run_id}/tasks/report/details")
    button = tab.get_by_role("link", name="Drift report")
    keep_picture(tab, "task_details")
    address = button.get_attribute("href")
    assert address is not None
    tab.goto(address)

    playwright_api.expect(tab.locator("h1")).to_be_visible()
    assert "drift" in tab.title()


def test_a_reader_goes_from_day_to_day_by_links(tab: Any) -> None:
    tab.goto("/ml/reports/customers/validation/latest/")
    newest = tab.url
    tab.locator("a[rel=prev]").click()
    tab.wait_for_url(lambda url: url != newest)
    playwright_api.expect(tab.locator("h1")).to_be_visible()
    tab.locator("a[rel=next]").click()
    tab.wait_for_url(newest)

    tab.get_by_role("link", name="All days").click()
    day = START - timedelta(days=7)
    tab.get_by_role("link", name=str(day)).click()

    playwright_api.expect(tab.locator("h1")).to_contain_text(str(day))


def test_the_overview_says_whether_anything_is_wrong_and_leads_to_reports_and_to_airflow(tab: Any) -> None:
    tab.goto("/ml/overview/")
    playwright_api.expect(tab.locator("h1")).to_contain_text("wrong")

    tab.locator("a[href*='reports/customers/validation']").first.click()
    tab.wait_for_url("**/ml/reports/customers/validation/**")
    tab.goto("/ml/overview/")
    tab.get_by_role("link", name="Customer churn").click()

    tab.wait_for_url("**/dags/churn_scoring**")


def test_a_missing_page_names_the_nearest_ones(tab: Any) -> None:
    answer = tab.goto("/ml/reports/churn/drift/2001-01-01/")

    assert answer.status == 404
    playwright_api.expect(tab.locator("h1")).to_contain_text("There is no drift")
    tab.locator("nav a").first.click()
    playwright_api.expect(tab.locator("h1")).to_contain_text("Customer churn")


def test_a_failed_run_shows_its_cause_as_a_note(tab: Any, company: World) -> None:
    run = company.run("churn_monitoring", day="9999-12-31")
    assert run.state == "failed"

    tab.goto(f"/dags/churn_monitoring/runs/{run.run_id}")

    note = company.api.get(f"/dags/churn_monitoring/dagRuns/{run.run_id}")["note"]
    assert "choose a day from 2000-01-01 to" in note
    playwright_api.expect(tab.get_by_text("choose a day from").first).to_be_visible()
    keep_picture(tab, "failed_run")


@pytest.mark.parametrize(("viewport", "scheme"), SCREENS, ids=["wide", "phone", "wide_dark", "phone_dark"])
def test_pages_fit_the_screen_and_follow_its_colours(
    browser: Any, company: World, login: Any, viewport: Any, scheme: str
) -> None:
    page = open_tab(browser, company, login, viewport, scheme)
    name = f"{viewport['width']}_{scheme}"
    for address in (
        "overview",
        "reports/customers/validation/latest",
        "reports/churn/model_card/latest",
        "reports/churn/drift/latest",
        "reports/churn/performance/latest",
        "reports/churn/drift/2001-01-01",
        "reports/churn/drift",
    ):
        page.goto(f"/ml/{address}/")

        keep_picture(page, f"{address.replace('/', '_')}_{name}")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], f"{address} is {width} pixels wide."
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(","))
        assert (brightness < 3 * 128) == (scheme == "dark"), f"{address} is {background} where it is {scheme}."
    page.context.close()
