from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urlencode

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from include.lifecycle.lake import Lake, LocalFile, RunInfo
from ml_lifecycle import reports

DAY = date(2026, 3, 1)


@pytest.fixture
def published(lake: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with the drift report of churn."""
    (tmp_path / "index.html").write_text("<h1>No drift</h1>")
    (tmp_path / "verdict.json").write_text('{"verdict": "no drift"}')
    files = [LocalFile(tmp_path / "index.html"), LocalFile(tmp_path / "verdict.json")]
    lake.publish("reports/churn/drift", DAY, files, run=run)
    monkeypatch.setattr(reports, "lake", lambda: lake)
    return lake


@pytest.fixture
def browser(published: Lake) -> Iterator[TestClient]:
    """Somebody who is logged in."""
    reports.app.dependency_overrides[get_user] = lambda: "somebody"
    yield TestClient(reports.app)
    reports.app.dependency_overrides.clear()


@pytest.mark.parametrize("path", ["/churn/drift/2026-03-01/", "/churn/drift/2026-03-01/verdict.json"])
def test_who_is_not_logged_in_sees_nothing_and_is_sent_to_the_login(
    published: Lake, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "get_auth_manager", SimpleAuthManager)

    answer = TestClient(reports.app, follow_redirects=False).get(path)

    assert answer.status_code == 307
    assert answer.headers["location"] == f"/auth/login?{urlencode({'next': f'http://testserver{path}'})}"
    assert answer.text == ""


def test_a_report_is_shown_in_an_origin_of_its_own(browser: TestClient) -> None:
    answer = browser.get("/churn/drift/2026-03-01/")

    assert (answer.status_code, answer.text) == (200, "<h1>No drift</h1>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]


def test_the_other_files_of_a_report_are_reached_by_their_plain_names(browser: TestClient) -> None:
    answer = browser.get("/churn/drift/2026-03-01/verdict.json")

    assert answer.json() == {"verdict": "no drift"}


def test_an_address_without_the_last_slash_leads_to_the_page(browser: TestClient) -> None:
    assert browser.get("/churn/drift/2026-03-01").text == "<h1>No drift</h1>"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/churn/drift/2026-03-02/", 404),
        ("/churn/validation/2026-03-01/", 404),
        ("/churn/drift/2026-03-01/nothing.html", 404),
        ("/churn/drift/2026-03-01/manifest.json", 404),
        ("/churn/%2e%2e/2026-03-01/", 422),
        ("/churn/drift/yesterday/", 422),
    ],
)
def test_what_was_not_published_is_not_found(browser: TestClient, path: str, status: int) -> None:
    assert browser.get(path).status_code == status


def test_a_page_that_was_changed_after_it_was_published_is_not_shown(browser: TestClient, published: Lake) -> None:
    [key] = [key for key in published.keys("reports/churn/drift") if "index" in key]
    published.write_object(key, b"<h1>All is well</h1>")

    answer = browser.get("/churn/drift/2026-03-01/")

    assert answer.status_code == 500
    assert "are not those its manifest names" in answer.json()["detail"]
