"""The order of a time-lapse: which days, and a training only where one is asked for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.time_lapse.figures import recovery
from include.time_lapse.weeks import Decision, Span, Training, live
from tests.unit.time_lapse.stories import PROMOTED, figures

SPAN = Span(first=date(2025, 1, 1), outcome_days=35, weeks=3, drift_week=2, history_days=10)


class Recorded:
    """Stages that note what is asked of them; the monitoring of one week asks for a training."""

    def __init__(self, asks_on: date | None) -> None:
        self.asks_on, self.calls = asks_on, list[tuple[object, ...]]()

    def extract(self, first: date, last: date) -> None:
        self.calls.append(("extract", first, last))

    def train(self, day: date) -> Training:
        self.calls.append(("train", day))
        return PROMOTED

    def score(self, day: date) -> None:
        self.calls.append(("score", day))

    def monitor(self, day: date) -> Decision:
        self.calls.append(("monitor", day))
        return Decision(action="train" if day == self.asks_on else "wait", reasons=(), is_open=day == self.asks_on)


def lived(asks_on: date | None, *, with_loop: bool) -> tuple[Recorded, list[int]]:
    stages = Recorded(asks_on)
    weeks = list(live(stages, SPAN, with_loop=with_loop, show=lambda *_: None))
    return stages, [week.number for week in weeks if week.training]


def test_every_day_is_extracted_once_and_in_order_until_the_last_outcomes() -> None:
    stages, _ = lived(None, with_loop=True)

    spans = [call[1:] for call in stages.calls if call[0] == "extract"]
    days = [first + timedelta(n) for first, last in spans for n in range((last - first).days + 1)]  # type: ignore[operator]
    assert days == [SPAN.first + timedelta(number) for number in range(10 + 21 + 35)]


def test_a_training_follows_only_where_the_monitoring_asks_for_one() -> None:
    asked = SPAN.days_of(2)[-1]

    stages, trained = lived(asked, with_loop=True)

    assert trained == [2]
    assert [call for call in stages.calls if call[0] == "train"] == [("train", SPAN.start), ("train", asked)]


def test_without_the_loop_the_first_champion_stays_whatever_is_asked() -> None:
    stages, trained = lived(SPAN.days_of(2)[-1], with_loop=False)

    assert trained == []
    assert [call for call in stages.calls if call[0] == "train"] == [("train", SPAN.start)]


def test_the_drift_begins_with_the_first_day_of_its_week() -> None:
    assert SPAN.drift_starts == SPAN.start + timedelta(8)
    assert SPAN.model_copy(update={"drift_week": None}).drift_starts is None


@pytest.mark.parametrize(("after", "returned"), [(0.271, True), (0.269, False)])
def test_a_model_is_back_within_a_margin_of_what_it_was_while_no_outcome_saw_the_drift(
    after: float, returned: bool
) -> None:
    weeks = [figures(n, 0.3 if n <= 4 else 0.9 if n <= 8 else after) for n in range(1, 13)]

    found = recovery(weeks, drift_week=9, horizon_weeks=5)

    assert found.before == pytest.approx(0.3)
    assert found.has_returned == returned
