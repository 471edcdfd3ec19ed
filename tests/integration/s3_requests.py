"""The requests that a client makes, and something done in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from include.lifecycle.storage.lake import Lake


@contextmanager
def requests_of(lake: Lake, act: Callable[[int], None] = lambda _: None) -> Iterator[list[tuple[str, str]]]:
    """The name and the key of each request; `act` is called before each, with its number from 1."""
    made: list[tuple[str, str]] = []
    number = itertools.count(1)

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        made.append((model.name, params.get("Key") or params.get("Prefix", "")))
        act(next(number))

    lake.client.meta.events.register("provide-client-params.s3", note)
    try:
        yield made
    finally:
        lake.client.meta.events.unregister("provide-client-params.s3", note)
