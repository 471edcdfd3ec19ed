"""A real browser at a running stack. ML_SCREENSHOTS=<folder> keeps a picture of each page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from include.stack.services import ADMIN_NAME
from tests.e2e.conftest import World

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="No Chromium or Chrome is installed.")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE_MS = 60_000


@contextmanager
def launched() -> Iterator[Any]:
    """A Chromium that calls nobody."""
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def log_in(browser: Any, company: World) -> Any:
    """The cookies of somebody who has logged in with the login's form."""
    context = browser.new_context(base_url=company.settings.airflow_url)
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Username").or_(page.locator("input[name=username]")).first.fill(ADMIN_NAME)
    page.locator("input[type=password]").fill(company.settings.secrets.airflow_password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url, timeout=PATIENCE_MS)
    state = context.storage_state()
    context.close()
    return state


def open_tab(browser: Any, company: World, login: Any, viewport: Any = WIDE, scheme: str = "light") -> Any:
    """A tab of somebody who is logged in."""
    context = browser.new_context(
        base_url=company.settings.airflow_url, storage_state=login, viewport=viewport, color_scheme=scheme
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


def open_form(page: Any, dag_id: str) -> Any:
    """Open a DAG's form; returns its Trigger button."""
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    return dialog.get_by_role("button", name="Trigger").last


def keep_picture(page: Any, name: str) -> None:
    """Keep a picture of the whole page, if pictures were asked for."""
    folder = os.environ.get("ML_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
