"""The web application that shows the reports on the lake to those who are logged in to Airflow."""

from __future__ import annotations

import mimetypes
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Request, Response, status
from fastapi import Path as PathParameter
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import RedirectResponse

from include.lifecycle.lake import CorruptFileError, PartitionNotFoundError
from ml_lifecycle.hooks import lake

Name = Annotated[str, PathParameter(pattern=r"^\w+$")]

# A report may run its scripts, but in an origin of its own: out of reach of Airflow's session.
_HEADERS = {"Content-Security-Policy": "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"}

app = FastAPI(title="Reports", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
async def ask_to_log_in(request: Request, error: HTTPException) -> Response:
    """Send whoever is not logged in to Airflow's login, and from there back to the report."""
    if error.status_code != status.HTTP_401_UNAUTHORIZED:
        return await http_exception_handler(request, error)
    return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)))


@app.get("/{area}/{kind}/{day}/")
def show_page(user: GetUserDep, area: Name, kind: Name, day: date) -> Response:
    """The page of a report."""
    return _file(area, kind, day, "index.html")


@app.get("/{area}/{kind}/{day}/{name}")
def show_file(user: GetUserDep, area: Name, kind: Name, day: date, name: str) -> Response:
    """Another file of a report, by the name it was published under."""
    return _file(area, kind, day, name)


def _file(area: str, kind: str, day: date, name: str) -> Response:
    with TemporaryDirectory() as scratch:
        try:
            [path] = lake().download(f"reports/{area}/{kind}", day, Path(scratch), name)
        except (PartitionNotFoundError, KeyError) as error:
            raise HTTPException(404, f"There is no {name} of the {kind} report of {area} for {day}.") from error
        except CorruptFileError as error:
            raise HTTPException(500, str(error)) from error
        content = path.read_bytes()
    return Response(content, media_type=mimetypes.guess_type(name)[0], headers=_HEADERS)
