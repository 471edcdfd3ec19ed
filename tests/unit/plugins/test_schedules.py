"""Schedules are said in words."""

from __future__ import annotations

import pytest

from ml_lifecycle.schedules import in_words


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 3 * * *", "At 03:30 (UTC)"),
        ("0 6 * * 1", "At 06:00, only on Monday (UTC)"),
        ("0 2 * * 2-6", "At 02:00, Tuesday through Saturday (UTC)"),
        ("0 4 1 * *", "At 04:00, on day 1 of the month (UTC)"),
        ("*/5 6 * 1 *", "Every 5 minutes, between 06:00 and 06:59, only in January (UTC)"),
        ("@daily", "At 00:00 (UTC)"),
        ("0 0 4 1 * *", "0 0 4 1 * * (UTC)"),
    ],
)
def test_every_schedule_that_a_spec_takes_is_said_in_words_or_as_it_is(cron: str, words: str) -> None:
    assert in_words(cron, "UTC") == words
