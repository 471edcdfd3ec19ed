"""What a portfolio may be, and how its back-test is made."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, le=1)]


class PortfolioSettings(BaseModel):
    """Limits, costs and lengths. Shares are of the portfolio's value, lengths in sessions of the exchange."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_weight: Share = 0.35
    """Highest weight of one symbol."""

    max_turnover: Share = 0.3
    """Highest one-way turnover of a rebalancing: what is sold, as a share of the portfolio."""

    cost_basis_points: float = Field(10.0, ge=0)
    """Cost of trading, in hundredths of a percent of the value that is bought or sold."""

    risk_free_rate: float = 0.0
    """Annual rate that Sharpe ratios are measured against."""

    window_sessions: int = Field(252, ge=60)
    """Trailing sessions from whose daily returns the covariance is estimated."""

    min_history: int = Field(126, ge=60)
    """Returns that a symbol needs within the window, on sessions on which the others have one, too."""

    rebalance_sessions: int = Field(21, ge=1)
    """How long the back-test holds a portfolio."""

    backtest_years: int = Field(10, ge=1, le=100)
    """The back-test begins with the year that lies so many before the present one, or later for want of prices."""

    bootstrap_samples: int = Field(2000, ge=200)
    """Resamples of the back-test that the verdict is drawn from."""

    seed: int = 20100628

    def backtest_start(self, day: date) -> date:
        """The first day on which the back-test of a portfolio of `day` may hold anything.

        It is the same for all days of a year, so that each of them carries on from the one before.
        """
        return date(day.year - self.backtest_years, 1, 1)

    def prices_start(self, day: date) -> date:
        """The first day whose prices a portfolio of `day` looks at, with or without those before it."""
        return self.backtest_start(day) - timedelta(days=2 * self.window_sessions)

    @property
    def cost_rate(self) -> float:
        """Cost as a share of the traded value."""
        return self.cost_basis_points / 10_000
