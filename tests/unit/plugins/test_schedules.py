"""Schedules are said in words."""

from __future__ import annotations

import pytest

from ml_lifecycle.schedules import in_words


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 3 * * *", "every day at 03:30 (UTC)"),
        ("0 6 * * 1", "every Monday at 06:00 (UTC)"),
        ("0 2 * * 2-6", "Tuesday to Saturday at 02:00 (UTC)"),
    ],
)
def test_a_schedule_is_said_in_words(cron: str, words: str) -> None:
    assert in_words(cron, "UTC") == words


@pytest.mark.parametrize("cron", ["0 6 1 * *", "*/5 6 * * *", "0 6 * 1 *"])
def test_a_schedule_without_words_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match="describe it here as well"):
        in_words(cron, "UTC")
