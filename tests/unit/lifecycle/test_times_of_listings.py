"""The times in S3's answers are read as botocore reads them, and those of listings without its guessing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.utils import parse_timestamp

from include.lifecycle.storage.objects import parse_time

WITHOUT_FRACTION = datetime(2026, 3, 2, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-03-02T04:05:06.789Z", WITHOUT_FRACTION.replace(microsecond=789_000), id="listing"),
        pytest.param("2026-03-02T04:05:06Z", WITHOUT_FRACTION, id="listing without a fraction"),
        pytest.param("20260302T040506Z", WITHOUT_FRACTION, id="without marks"),
        pytest.param("2026-03-02T05:05:06+01:00", WITHOUT_FRACTION, id="another time zone"),
        pytest.param("Mon, 02 Mar 2026 04:05:06 GMT", WITHOUT_FRACTION, id="header"),
        pytest.param(WITHOUT_FRACTION.timestamp(), WITHOUT_FRACTION, id="seconds"),
    ],
)
def test_a_time_is_what_botocore_says_it_is(text: object, moment: datetime) -> None:
    assert parse_time(text) == moment == parse_timestamp(text)


def test_the_time_of_a_listing_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.lifecycle.storage.objects.parse_timestamp", pytest.fail)

    assert parse_time("2026-03-02T04:05:06Z") == WITHOUT_FRACTION


@pytest.mark.parametrize("text", ["yesterday", "someZ"])
def test_what_is_no_time_is_refused_as_botocore_refuses_it(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_time(text)
