"""The web application that hands the prediction files on the lake to those who may see the runs that made them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import Response, status
from fastapi.responses import FileResponse, RedirectResponse
from starlette.background import BackgroundTask

from include.catalog import MODELS
from include.lifecycle.reporting import published_pages
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import MANIFEST, NoSuchFileError, PartitionNotFoundError
from ml_lifecycle.hooks import lake
from ml_lifecycle.web import LATEST, html, to_date, web_app

app = web_app("Predictions")


@app.get("/{model}/{day:day}/{name}")
def download(model: str, day: str, name: str) -> Response:
    """A file of a day's predictions, by its published name, or its manifest; `latest` leads to the newest day."""
    if model not in MODELS:
        return _missing(model, day, name)
    if day == LATEST:
        return _to_newest(model, name)
    if name == MANIFEST:
        return _manifest(model, day)
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory())
        try:
            [path] = lake().download(MODELS[model].predictions_prefix, to_date(day), Path(scratch), name)
        except (PartitionNotFoundError, NoSuchFileError):
            return _missing(model, day, name)
        sent = BackgroundTask(stack.pop_all().close)
        return FileResponse(path, filename=f"{model}_{day}_{name}", background=sent)


def _manifest(model: str, day: str) -> Response:
    try:
        manifest = lake().manifest(MODELS[model].predictions_prefix, to_date(day))
    except PartitionNotFoundError:
        return _missing(model, day, MANIFEST)
    return Response(manifest.model_dump_json(indent=2), media_type="application/json")


def _to_newest(model: str, name: str) -> Response:
    newest = latest.find(lake(), MODELS[model].predictions_prefix)
    if newest is None:
        return _missing(model, LATEST, name)
    return RedirectResponse(f"../{newest.day}/{name}", headers={"Cache-Control": "no-store"})


def _missing(model: str, day: str, name: str) -> Response:
    return html(published_pages.missing_predictions(model, day, name), status.HTTP_404_NOT_FOUND)
