"""What the stack says of the lake when a pointer to the newest day is damaged."""

from __future__ import annotations

from typing import Any

import pytest

from include.stack import results
from include.stack.errors import StackError
from include.stack.settings import StackSettings


class OneObject:
    """A lake in which every object has the same bytes."""

    def __init__(self, body: bytes | None) -> None:
        self._body = body

    def read_object(self, key: str) -> bytes | None:
        return self._body


def read(monkeypatch: pytest.MonkeyPatch, body: bytes | None) -> list[Any]:
    monkeypatch.setattr(results, "_lake", lambda _: OneObject(body))
    settings = StackSettings()
    return [results.latest_predictions(settings, "churn"), results.portfolio_day(settings)]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"day": 3}', b'{"day": "tomorrow"}', b"\xff"])
def test_a_damaged_pointer_is_a_sentence(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    with pytest.raises(StackError, match=r"predictions/churn/latest\.json names no day"):
        read(monkeypatch, body)


def test_no_pointer_is_no_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, None) == [None, None]
