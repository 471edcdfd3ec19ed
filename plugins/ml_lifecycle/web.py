"""What the project's web applications share: who may read them, dates in addresses, pages for errors."""

from __future__ import annotations

from datetime import date

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from pydantic import ValidationError
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from include.lifecycle.reporting import published_pages
from include.lifecycle.storage.lake import LakeError

LATEST = "latest"

# A page may run its scripts, but in an origin of its own: out of reach of Airflow's session.
HEADERS = {"Content-Security-Policy": "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"}

NO_TOKEN = "Send a token of Airflow, as `Authorization: Bearer <token>`; a POST to /auth/token gives one.\n"

# Airflow mounts a plugin's applications without any check. What a run made is for those who may see the run.
may_read = requires_access_dag("GET", DagAccessEntity.RUN)


class _DayOrLatest(StringConvertor):
    regex = rf"\d{{4}}-\d\d-\d\d|{LATEST}"


register_url_convertor("day", _DayOrLatest())


def web_app(title: str) -> FastAPI:
    """An application all of whose routes are for those who may see the runs of DAGs."""
    return FastAPI(
        title=title,
        dependencies=[Depends(may_read)],
        exception_handlers={
            HTTPException: _explain,
            RequestValidationError: _explain_address,
            LakeError: _explain_damage,
            ValidationError: _explain_damage,
            BotoCoreError: _explain_outage,
            ClientError: _explain_outage,
        },
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )


def html(page: str, status_code: int = status.HTTP_200_OK) -> Response:
    """The answer that shows a page."""
    return HTMLResponse(page, status_code, headers=HEADERS)


def to_date(day: str) -> date:
    """The day of an address; one that the calendar does not have is an unknown address."""
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND) from error


async def _explain(request: Request, error: Exception) -> Response:
    """Send a browser that is not logged in to the login, and from there back; tell a program what it lacks."""
    status_code = error.status_code if isinstance(error, HTTPException) else status.HTTP_404_NOT_FOUND
    if status_code == status.HTTP_401_UNAUTHORIZED:
        if "text/html" not in request.headers.get("Accept", ""):
            return PlainTextResponse(NO_TOKEN, status_code, headers={"WWW-Authenticate": "Bearer"})
        return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)))
    if status_code == status.HTTP_403_FORBIDDEN:
        return html(published_pages.forbidden(), status_code)
    return html(published_pages.unknown_address(), status_code)


async def _explain_address(request: Request, error: Exception) -> Response:
    """An address whose parts are none of ours."""
    return html(published_pages.unknown_address(), status.HTTP_404_NOT_FOUND)


async def _explain_damage(request: Request, error: Exception) -> Response:
    """What has changed since it was published is not shown."""
    page = published_pages.broken_page("This report is damaged, so it is not shown", str(error))
    return html(page, status.HTTP_500_INTERNAL_SERVER_ERROR)


async def _explain_outage(request: Request, error: Exception) -> Response:
    """The S3 server does not answer, or refuses."""
    page = published_pages.broken_page(
        "The lake cannot be reached",
        f"The reports lie there. Try again once the S3 server of the connection lake answers. It says: {error}",
    )
    return html(page, status.HTTP_503_SERVICE_UNAVAILABLE)
