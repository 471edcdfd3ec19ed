from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import boto3
import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from botocore.config import Config
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from include.lifecycle.reporting.pages import Page, Verdict, render
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo
from ml_lifecycle import predictions, reports, web

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
    """Somebody who may see runs."""
    reports.app.dependency_overrides[web.may_read] = lambda: None
    yield TestClient(reports.app)
    reports.app.dependency_overrides.clear()


def test_the_manifest_of_predictions_is_served_beside_their_files(
    lake: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "predictions.csv").write_text("customer_id,score\n1,0.5\n")
    lake.publish("predictions/churn", DAY, [LocalFile(tmp_path / "predictions.csv", 1)], run=run)
    monkeypatch.setattr(predictions, "lake", lambda: lake)
    monkeypatch.setitem(predictions.app.dependency_overrides, web.may_read, lambda: None)
    client = TestClient(predictions.app)

    manifest = client.get(f"/churn/{DAY}/manifest.json")

    assert manifest.headers["content-type"] == "application/json"
    assert [file["rows"] for file in manifest.json()["files"]] == [1]
    assert client.get(f"/churn/{DAY}/predictions.csv").status_code == 200
    assert client.get("/churn/2026-03-02/manifest.json").status_code == 404


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (reports.app, "/churn/drift/2026-03-01/"),
        (reports.app, "/churn/drift/2026-03-01/verdict.json"),
        (predictions.app, "/churn/2026-03-01/predictions.csv"),
    ],
)
def test_who_is_not_logged_in_sees_nothing_and_is_sent_to_the_login(
    published: Lake, app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "get_auth_manager", SimpleAuthManager)

    answer = TestClient(app, follow_redirects=False).get(path, headers={"Accept": "text/html,*/*;q=0.8"})

    assert answer.status_code == 307
    assert answer.headers["location"] == f"/auth/login?{urlencode({'next': f'http://testserver{path}'})}"
    assert answer.text == ""


@pytest.mark.parametrize("accept", ["*/*", "text/csv", ""])
def test_a_program_without_a_token_is_told_so_and_gets_no_page_for_a_file(accept: str) -> None:
    client = TestClient(predictions.app, follow_redirects=False)

    answer = client.get("/churn/2026-03-01/predictions.csv", headers={"Accept": accept})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.text == web.NO_TOKEN


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
    "path",
    [
        "/churn/drift/2026-03-02/",
        "/churn/validation/2026-03-01/",
        "/churn/drift/2026-03-01/nothing.html",
        "/churn/drift/2026-03-01/manifest.json",
        "/churn/drift/version=3/2026-03-01/",
        "/churn/validation/latest/",
        "/churn/validation/",
        "/churn/%2e%2e/2026-03-01/",
        "/churn/drift/yesterday/",
        "/churn/drift/2026-13-45/",
        "/churn/drift/0001-01-01/",
        "/churn/drift/9999-12-31/",
        "/churn/drift/version=x/2026-03-01/",
        "/nothing",
    ],
)
def test_what_was_not_published_is_a_page_that_says_so(browser: TestClient, path: str) -> None:
    answer = browser.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert '<span class="status">Note</span>' in answer.text


def test_a_page_that_was_changed_after_it_was_published_is_not_shown(browser: TestClient, published: Lake) -> None:
    [key] = [key for key in published.keys("reports/churn/drift") if "index" in key]
    published.write_object(key, b"<h1>All is well</h1>")

    answer = browser.get("/churn/drift/2026-03-01/")

    assert answer.status_code == 500
    assert "are not those its manifest names" in answer.text
    assert "All is well" not in answer.text


def test_half_a_manifest_is_damage_that_is_said(browser: TestClient, published: Lake) -> None:
    published.write_object(f"reports/churn/drift/dt={DAY}/manifest.json", b'{"files": [')

    answer = browser.get("/churn/drift/2026-03-01/")

    assert answer.status_code == 500
    assert "This report is damaged" in answer.text


def publish_page(lake: Lake, run: RunInfo, folder: Path, prefix: str, day: date) -> None:
    (folder / "index.html").write_text(render(Page("Drift", Verdict("good", f"Page of {day}", "r"))))
    lake.publish(prefix, day, [LocalFile(folder / "index.html")], run=run)


def links(answer: Response) -> list[str]:
    """The addresses that a page links to, as a browser resolves them."""
    return [urljoin(str(answer.url.path), found) for found in re.findall(r'<a[^>]* href="([^"]+)"', answer.text)]


@pytest.fixture
def days(published: Lake, run: RunInfo, tmp_path: Path) -> list[date]:
    """Days with a page, near and far from each other."""
    days = [date(2020, 1, 1), date(2026, 2, 1), date(2026, 2, 8), date(2026, 2, 15), date(2027, 9, 1)]
    for day in days:
        publish_page(published, run, tmp_path, "reports/churn/weekly", day)
    return days


def test_a_reader_gets_from_the_newest_page_to_the_oldest_and_back(browser: TestClient, days: list[date]) -> None:
    answer = browser.get("/churn/weekly/latest/")

    backwards, forwards = [answer.url.path], []
    while previous := re.search(r'rel="prev" href="([^"]+)"', answer.text):
        answer = browser.get(urljoin(answer.url.path, previous[1]))
        backwards.append(answer.url.path)
    while following := re.search(r'rel="next" href="([^"]+)"', answer.text):
        answer = browser.get(urljoin(answer.url.path, following[1]))
        forwards.append(answer.url.path)

    assert backwards == [f"/churn/weekly/{day}/" for day in reversed(days)]
    assert forwards == [f"/churn/weekly/{day}/" for day in days[1:]]


def test_all_days_are_listed(browser: TestClient, days: list[date]) -> None:
    answer = browser.get("/churn/weekly/")

    assert links(answer) == [f"/churn/weekly/{day}/" for day in reversed(days)]
    assert answer.text.index("All pages") < answer.text.index("February 2026")


def test_the_newest_version_is_newer_than_any_old_page_without_a_version(
    browser: TestClient, published: Lake, run: RunInfo, tmp_path: Path
) -> None:
    publish_page(published, run, tmp_path, "reports/churn/model_card", DAY + timedelta(days=7))
    publish_page(published, run, tmp_path, "reports/churn/model_card/version=2", DAY)

    newest = browser.get("/churn/model_card/latest/")

    assert newest.url.path == "/churn/model_card/version=2/2026-03-01/"


def test_a_missing_page_links_to_the_nearest_ones(browser: TestClient, days: list[date]) -> None:
    answer = browser.get("/churn/weekly/2026-02-10/")

    assert answer.status_code == 404
    assert {f"/churn/weekly/{day}/" for day in days[1:4]} <= set(links(answer))
    assert "There is no weekly of churn for 2026-02-10" in answer.text


@pytest.mark.parametrize("address", ["", "latest/", "2026-02-10/"])
def test_a_page_of_nothing_in_the_catalog_names_no_dag(browser: TestClient, address: str) -> None:
    unknown, known = (browser.get(f"/{area}/drift/{address}") for area in ("nonsense", "volatility"))

    assert (unknown.status_code, known.status_code) == (404, 404)
    assert "Check the address.</p>" in unknown.text
    assert "run the DAG volatility_<wbr>monitoring" in known.text


def test_keys_that_belong_to_no_version_or_day_break_no_page(
    browser: TestClient, published: Lake, run: RunInfo, tmp_path: Path
) -> None:
    publish_page(published, run, tmp_path, "reports/churn/model_card/version=2", DAY)
    for folder in (
        "version=99/dt=2026-13-45",
        f"version={'9' * 5000}/dt=2026-03-01"[:900],
        "version=x/dt=2026-03-01",
    ):
        published.write_object(f"reports/churn/model_card/{folder[:200]}/manifest.json", b"{}")

    assert links(browser.get("/churn/model_card/")) == ["/churn/model_card/version=2/2026-03-01/"]
    assert browser.get(f"/churn/model_card/version={'9' * 5000}/2026-03-01/").status_code == 404


def test_pages_of_versions_of_one_day_lie_side_by_side(
    browser: TestClient, published: Lake, run: RunInfo, tmp_path: Path
) -> None:
    for version in (2, 9, 10):
        publish_page(published, run, tmp_path, f"reports/churn/model_card/version={version}", DAY)

    newest = browser.get("/churn/model_card/latest/")
    before = browser.get("/churn/model_card/version=9/2026-03-01")

    assert newest.url.path == "/churn/model_card/version=10/2026-03-01/"
    assert 'rel="next"' not in newest.text
    assert {f"/churn/model_card/version={n}/2026-03-01/" for n in (2, 10)} <= set(links(before))
    assert links(browser.get("/churn/model_card/")) == [
        f"/churn/model_card/version={n}/2026-03-01/" for n in (10, 9, 2)
    ]
    assert "/churn/model_card/version=2/2026-03-01/" in links(browser.get("/churn/model_card/2026-03-01/"))


def test_a_page_costs_no_look_at_all_days(
    browser: TestClient, published: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 300):
        published.write_object(f"reports/churn/daily/dt={DAY - timedelta(number)}/manifest.json", b"{}")
    publish_page(published, run, tmp_path, "reports/churn/daily", DAY)
    seen: list[int] = []
    objects = Lake.objects

    def counted(lake: Lake, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for item in objects(lake, *args, **kwargs):
            seen.append(1)
            yield item

    monkeypatch.setattr(Lake, "objects", counted)

    assert browser.get(f"/churn/daily/{DAY}/").status_code == 200
    assert len(seen) < 60


def test_a_lake_out_of_reach_is_a_page_that_says_so(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="k",
        aws_secret_access_key="s",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(reports, "lake", lambda: Lake(nowhere, "ml-lake"))

    answer = browser.get("/churn/drift/2026-03-01/")

    assert answer.status_code == 503
    assert "The lake cannot be reached" in answer.text
