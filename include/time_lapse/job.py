"""What a time-lapse is told, and what it reports: one process lives the weeks, another waits for them."""

from __future__ import annotations

from include.lifecycle.specs import Spec
from include.time_lapse.weeks import Span


class Job(Spec):
    """The weeks that are to be lived, and the file that takes a line of JSON for each step."""

    span: Span
    with_loop: bool
    log: str
