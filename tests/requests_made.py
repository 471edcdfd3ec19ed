"""The requests that are made to S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from include.lifecycle.storage.lake import Lake


@contextmanager
def requests_made(
    lake: Lake, number: int = 0, act: Callable[[], Any] = lambda: None
) -> Iterator[list[tuple[str, str]]]:
    """Operation and path of each request, in their order; before the request of that number, `act` is called."""
    made: list[tuple[str, str]] = []

    def note(model: Any, params: Any, **_: Any) -> None:
        made.append((model.name, params["url_path"]))
        if len(made) == number:
            act()

    lake.client.meta.events.register("before-call.s3", note)
    try:
        yield made
    finally:
        lake.client.meta.events.unregister("before-call.s3", note)
