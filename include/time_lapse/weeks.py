"""The weeks of a time-lapse, one after the other: what happens in each, and what was decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Protocol

from include.lifecycle.specs import Spec

DAYS = 7


class Span(Spec):
    """The days of a time-lapse.

    Attributes
    ----------
    first : the company's first day.
    history_days : days before the first week; the first champion is trained as of the last of them.
    drift_week : the week, counted from 1, with whose first day the world changes; None: it stays as it is.
    outcome_days : days after the last week until all of its outcomes are known.
    """

    first: date
    outcome_days: int
    weeks: int = 26
    drift_week: int | None = 9
    history_days: int = 120

    @property
    def start(self) -> date:
        """The last day before the first week."""
        return self.first + timedelta(self.history_days - 1)

    @property
    def drift_starts(self) -> date | None:
        """The first day of the changed world."""
        return None if self.drift_week is None else self.days_of(self.drift_week)[0]

    @property
    def last(self) -> date:
        """The day by whose end all outcomes are known."""
        return self.days_of(self.weeks)[-1] + timedelta(self.outcome_days)

    def days_of(self, week: int) -> list[date]:
        """The days of a week, counted from 1."""
        return [self.start + timedelta(DAYS * (week - 1) + number) for number in range(1, DAYS + 1)]


class Decision(Spec):
    """What a monitoring decided about retraining; `is_open` says whether a training is to be woken."""

    action: str
    reasons: tuple[str, ...]
    is_open: bool


class Training(Spec):
    """What a training came to: the gate's verdict with its reasons, and the champion after it."""

    verdict: str
    reasons: tuple[str, ...]
    champion: int


class Week(Spec):
    """What was decided at the end of a week; `training` is None where none took place."""

    number: int
    last: date
    decision: Decision
    training: Training | None


class Stages(Protocol):
    """What the DAGs do, whoever runs them."""

    def extract(self, first: date, last: date) -> None:
        """Bring days to features."""
        ...

    def train(self, day: date) -> Training:
        """Train as of a day, which answers the request that is open, if any."""
        ...

    def score(self, day: date) -> None:
        """Score what has features and no predictions by the night after a day."""
        ...

    def monitor(self, day: date) -> Decision:
        """Report on the week that ends on a day, and decide about retraining."""
        ...


def live(stages: Stages, span: Span, *, with_loop: bool, show: Callable[[int, str], None]) -> Iterator[Week]:
    """Live through a time-lapse, and give each week once it is over.

    A training takes place before the first week, and after it only `with_loop`, where a monitoring asks for it.
    After the last week the days go on until all outcomes are known, and nothing else happens.

    Parameters
    ----------
    show : is told the week, 0 before the first, and what is going on.
    """
    show(0, "the company's history")
    stages.extract(span.first, span.start)
    show(0, "the first training")
    stages.train(span.start)
    for number in range(1, span.weeks + 1):
        days = span.days_of(number)
        show(number, "days and predictions")
        stages.extract(days[0], days[-1])
        stages.score(days[-1])
        show(number, "monitoring")
        decision, training = stages.monitor(days[-1]), None
        if with_loop and decision.is_open:
            show(number, "training")
            training = stages.train(days[-1])
        yield Week(number=number, last=days[-1], decision=decision, training=training)
    show(span.weeks, "the outcomes of the last weeks")
    stages.extract(span.days_of(span.weeks)[-1] + timedelta(1), span.last)
