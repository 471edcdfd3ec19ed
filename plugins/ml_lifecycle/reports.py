"""The web application that shows the reports on the lake to those who may see the runs that made them."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import Depends, Response, status
from fastapi.responses import RedirectResponse
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from include.catalog import DATASETS, MODELS
from include.lifecycle.reporting import published_pages
from include.lifecycle.reporting.pages import with_navigation
from include.lifecycle.reporting.published_pages import Report
from include.lifecycle.storage.lake import Lake, NoSuchFileError, PartitionNotFoundError
from ml_lifecycle.hooks import lake
from ml_lifecycle.web import HEADERS, LATEST, html, to_date, web_app

_PAGE = "index.html"
_NAME = re.compile(r"\w+", re.ASCII)
_DAGS = frozenset(
    [f"{dataset}_etl" for dataset in DATASETS]
    + [f"{model}_{stage}" for model in MODELS for stage in ("training", "monitoring")]
    + ["maintenance", "portfolio"]
)
"""The DAGs that make reports."""


class _Version(IntegerConvertor):
    regex = "[0-9]{1,9}"


register_url_convertor("version", _Version())

app = web_app("Reports")


def _report(area: str, kind: str, version: int | None = None) -> Report:
    if not (_NAME.fullmatch(area) and _NAME.fullmatch(kind)):
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return Report(area, kind, version)


Named = Annotated[Report, Depends(_report)]


@app.get("/{area}/{kind}/")
def show_list(report: Named) -> Response:
    """Links to all pages of a report."""
    page = published_pages.list_page(lake(), report)
    return html(page) if page else html(published_pages.missing_report(report, _DAGS), status.HTTP_404_NOT_FOUND)


@app.get("/{area}/{kind}/version={version:version}/{day:day}/")
@app.get("/{area}/{kind}/{day:day}/")
def show_page(report: Named, day: str) -> Response:
    """The page of a report, with links to its neighbours; `latest` leads to the newest."""
    if day == LATEST:
        return _to_newest(report)
    return _file(lake(), report, to_date(day), _PAGE)


@app.get("/{area}/{kind}/version={version:version}/{day:day}/{name}")
@app.get("/{area}/{kind}/{day:day}/{name}")
def show_file(report: Named, day: str, name: str) -> Response:
    """Another file of a report, by the name it was published under."""
    return _to_newest(report, name) if day == LATEST else _file(lake(), report, to_date(day), name)


def _to_newest(report: Report, name: str = "") -> Response:
    address = published_pages.newest(lake(), report, datetime.now(UTC).date())
    if address is None:
        return html(published_pages.missing_report(report, _DAGS), status.HTTP_404_NOT_FOUND)
    return RedirectResponse(f"../{address}{name}", headers={"Cache-Control": "no-store"})


def _file(lake: Lake, report: Report, day: date, name: str) -> Response:
    with TemporaryDirectory() as scratch:
        try:
            [path] = lake.download(report.prefix, day, Path(scratch), name)
        except (PartitionNotFoundError, NoSuchFileError):
            missing = None if name == _PAGE else name
            return html(published_pages.missing_page(lake, report, day, _DAGS, missing), status.HTTP_404_NOT_FOUND)
        content = path.read_bytes()
    if name == _PAGE:
        return html(with_navigation(content.decode(), published_pages.around(lake, report, day)))
    return Response(content, media_type=mimetypes.guess_type(name)[0], headers=HEADERS)
