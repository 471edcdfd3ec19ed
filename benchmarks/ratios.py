"""What a benchmark measured, beside its limit."""

from __future__ import annotations

import importlib
import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Ratio:
    """A measured figure and how much it may be at most, or where `at_least` is set, must be at least."""

    name: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the limit is met; what is no number meets none."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def bound(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.at_least else 'most'} {self.limit:g}"

    def as_json(self, benchmark: str) -> dict[str, Any]:
        """As it stands in the file of results."""
        measured = self.measured if math.isfinite(self.measured) else None
        return {"benchmark": benchmark, **asdict(self), "measured": measured, "met": self.met}


def ratios_of(benchmark: str, share: float) -> list[Ratio]:
    """Run one benchmark on a share of its rows; it prints its own table."""
    ratios: list[Ratio] = importlib.import_module(f"benchmarks.{benchmark}").main(share)
    return ratios
