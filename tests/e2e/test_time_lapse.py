"""A short time-lapse through the DAGs themselves, on services of its own."""

from __future__ import annotations

from datetime import date

import pytest
from rich.console import Console

from include.samples.settings import BadRows, CompanySettings
from include.stack.display import Display
from include.time_lapse.lives import live_twice
from include.time_lapse.page import render_story
from include.time_lapse.weeks import Span

SPAN = Span(first=date(2025, 1, 1), outcome_days=35, weeks=1, drift_week=1, history_days=80)
COMPANY = CompanySettings(customers=700, seed=3, bad_rows=BadRows(rate=0))


def test_a_week_is_lived_twice_through_the_dags(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Display(Console(quiet=True)) as display:
        story = live_twice(COMPANY, SPAN, tmp_path_factory.mktemp("lives"), display)

    assert [week.number for week in story.loop.weeks] == [1]
    assert {week.decision.action for week in story.loop.weeks} == {"wait"}
    assert all(week.decision.reasons for week in story.loop.weeks)
    # The same data, seed and code: as long as nothing is trained again, both lives are the same.
    assert story.loop == story.alone
    assert all(week.versions == (story.loop.figures[0].versions[0],) for week in story.loop.figures)
    assert "<svg" in render_story(story)
