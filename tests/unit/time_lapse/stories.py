"""Made-up lives of a company, for the page that tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from include.samples.settings import CompanySettings
from include.time_lapse.figures import WeekFigures
from include.time_lapse.lives import Life, Story
from include.time_lapse.weeks import Decision, Span, Training, Week

SPAN = Span(first=date(2025, 1, 1), outcome_days=35, weeks=12, drift_week=7)
WAIT = Decision(
    action="wait", reasons=("None of the last 4 drift reports found that something drifted.",), is_open=False
)
TRAIN = Decision(
    action="train",
    reasons=(
        "Of the last 4 weeks whose outcomes have become known since the champion was trained, 2 did worse than "
        "the scores had promised.",
    ),
    is_open=True,
)
PROMOTED = Training(verdict="promote", reasons=("The gain is above what is required.",), champion=2)


def figures(number: int, average_precision: float, **changes: Any) -> WeekFigures:
    """A quiet week of which one is known."""
    quiet: dict[str, Any] = {
        "number": number,
        "last": SPAN.days_of(number)[-1],
        "versions": (1,),
        "rows": 7000,
        "leavers": 0.04,
        "average_precision": average_precision,
        "roc_auc": 0.8,
        "estimated": 0.3,
        "estimated_low": 0.25,
        "estimated_high": 0.35,
        "drift": "no drift",
        "score_distance": 0.02,
        "offers": 10,
        "worth": 100.0,
    }
    return WeekFigures(**quiet | changes)


def life(measured: Sequence[float], trained: Mapping[int, Training] | None = None, worth: float = 100.0) -> Life:
    """Weeks with these figures, of which some ended with a training."""
    trainings = trained or {}
    numbers = range(1, len(measured) + 1)
    return Life(
        weeks=tuple(
            Week(
                number=number,
                last=SPAN.days_of(number)[-1],
                decision=TRAIN if number in trainings else WAIT,
                training=trainings.get(number),
            )
            for number in numbers
        ),
        figures=tuple(
            figures(number, value, worth=worth) for number, value in zip(numbers, measured, strict=True)
        ),
    )


BACK = (0.3, 0.3, 0.25, 0.2, 0.15, 0.15, 0.15, 0.2, 0.28, 0.28, 0.28, 0.28)
LOST = (0.3, 0.3, 0.25, 0.2, 0.15, 0.15, 0.15, 0.15, 0.16, 0.15, 0.16, 0.15)


def story(loop: Life, alone: Life, span: Span = SPAN) -> Story:
    """Both lives of a company."""
    return Story(span=span, company=CompanySettings(customers=1000, seed=3), loop=loop, alone=alone)
