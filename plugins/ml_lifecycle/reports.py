"""The web application that shows the reports on the lake to those who are logged in to Airflow."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.convertors import IntegerConvertor, StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from include.lifecycle import published_pages
from include.lifecycle.lake import Lake, LakeError, NoSuchFileError, PartitionNotFoundError
from include.lifecycle.pages import with_navigation
from include.lifecycle.published_pages import Report
from ml_lifecycle.hooks import lake

_PAGE = "index.html"
_LATEST = "latest"
_NAME = re.compile(r"\w+", re.ASCII)

# A report may run its scripts, but in an origin of its own: out of reach of Airflow's session.
_HEADERS = {"Content-Security-Policy": "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"}


class _DayOrLatest(StringConvertor):
    regex = rf"\d{{4}}-\d\d-\d\d|{_LATEST}"


class _Version(IntegerConvertor):
    regex = "[0-9]{1,9}"


register_url_convertor("day", _DayOrLatest())
register_url_convertor("version", _Version())

app = FastAPI(title="Reports", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
async def explain(request: Request, error: HTTPException) -> Response:
    """Send whoever is not logged in to Airflow's login, and from there back to the report."""
    if error.status_code == status.HTTP_401_UNAUTHORIZED:
        return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)))
    return _html(published_pages.unknown_address(), error.status_code)


@app.exception_handler(RequestValidationError)
async def explain_address(request: Request, error: RequestValidationError) -> Response:
    """An address whose parts are none of a report's."""
    return _html(published_pages.unknown_address(), status.HTTP_404_NOT_FOUND)


@app.exception_handler(LakeError)
@app.exception_handler(ValidationError)
async def explain_damage(request: Request, error: LakeError | ValidationError) -> Response:
    """A report whose bytes have changed is not shown."""
    page = published_pages.broken_page("This report is damaged, so it is not shown", str(error))
    return _html(page, status.HTTP_500_INTERNAL_SERVER_ERROR)


@app.exception_handler(BotoCoreError)
@app.exception_handler(ClientError)
async def explain_outage(request: Request, error: BotoCoreError | ClientError) -> Response:
    """The S3 server does not answer, or refuses."""
    page = published_pages.broken_page(
        "The lake cannot be reached",
        f"The reports lie there. Try again once the S3 server of the connection lake answers. It says: {error}",
    )
    return _html(page, status.HTTP_503_SERVICE_UNAVAILABLE)


def _report(area: str, kind: str, version: int | None = None) -> Report:
    if not (_NAME.fullmatch(area) and _NAME.fullmatch(kind)):
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return Report(area, kind, version)


Named = Annotated[Report, Depends(_report)]


@app.get("/{area}/{kind}/")
def show_list(user: GetUserDep, report: Named) -> Response:
    """Links to all pages of a report."""
    page = published_pages.list_page(lake(), report)
    return _html(page) if page else _html(published_pages.missing_report(report), status.HTTP_404_NOT_FOUND)


@app.get("/{area}/{kind}/version={version:version}/{day:day}/")
@app.get("/{area}/{kind}/{day:day}/")
def show_page(user: GetUserDep, report: Named, day: str) -> Response:
    """The page of a report, with links to its neighbours; `latest` leads to the newest."""
    if day == _LATEST:
        return _to_newest(report)
    return _file(lake(), report, _date(day), _PAGE)


@app.get("/{area}/{kind}/version={version:version}/{day:day}/{name}")
@app.get("/{area}/{kind}/{day:day}/{name}")
def show_file(user: GetUserDep, report: Named, day: str, name: str) -> Response:
    """Another file of a report, by the name it was published under."""
    return _to_newest(report, name) if day == _LATEST else _file(lake(), report, _date(day), name)


def _date(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND) from error


def _to_newest(report: Report, name: str = "") -> Response:
    address = published_pages.newest(lake(), report, datetime.now(UTC).date())
    if address is None:
        return _html(published_pages.missing_report(report), status.HTTP_404_NOT_FOUND)
    return RedirectResponse(f"../{address}{name}", headers={"Cache-Control": "no-store"})


def _file(lake: Lake, report: Report, day: date, name: str) -> Response:
    with TemporaryDirectory() as scratch:
        try:
            [path] = lake.download(report.prefix, day, Path(scratch), name)
        except (PartitionNotFoundError, NoSuchFileError):
            missing = None if name == _PAGE else name
            return _html(published_pages.missing_page(lake, report, day, missing), status.HTTP_404_NOT_FOUND)
        content = path.read_bytes()
    if name == _PAGE:
        return _html(with_navigation(content.decode(), published_pages.around(lake, report, day)))
    return Response(content, media_type=mimetypes.guess_type(name)[0], headers=_HEADERS)


def _html(page: str, status_code: int = status.HTTP_200_OK) -> Response:
    return HTMLResponse(page, status_code, headers=_HEADERS)
