"""The dials of the sample company."""

from datetime import date, timedelta
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

DriftKind = Literal["price_rise", "competitor_offer", "new_payment_method"]

FaultKind = Literal[
    "unknown_contract",
    "absurd_age",
    "negative_charges",
    "future_signup",
    "negative_usage",
    "due_before_issue",
    "null_key",
    "duplicate_row",
]


class Drift(BaseModel):
    """A lasting change of the company's world from one day on.

    ``price_rise``: every customer pays 15 % more, and resents it.
    ``competitor_offer``: a competitor buys out the contracts of fiber customers, who then leave the more often the
    longer they are bound and have stayed, whether or not they pay late or use less; all others leave less often.
    ``new_payment_method``: the category "Instant transfer" appears and spreads by 1 % of the customers a day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: DriftKind
    start: date | Annotated[int, Field(ge=0)]
    """The first day of the change, as a date or as a number of days after the company's first day."""
    strength: float = Field(default=1.0, gt=0, le=5)
    """Multiplies the effect: 2 is a price rise of 30 %."""

    def first_day(self, company_first_day: date) -> date:
        """The date on which the change begins, for a company that opened on `company_first_day`."""
        if isinstance(self.start, date):
            return max(self.start, company_first_day)
        return company_first_day + timedelta(days=self.start)


class BadRows(BaseModel):
    """How much of what the company records each day is wrong, and in which ways."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(default=0.002, ge=0, le=1)
    """Share of the day's rows of each table."""
    kinds: tuple[FaultKind, ...] = get_args(FaultKind)


class CompanySettings(BaseModel):
    """Everything that decides what the sample company's tables contain, except its first day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customers: int = Field(default=20_000, ge=10, le=5_000_000)
    """Active customers on the first day, within a few percent."""
    history_days: int = Field(default=120, ge=1)
    """Days filled at the first start."""
    seed: int = Field(default=7, ge=0)
    label_delay_days: int = Field(default=5, ge=0)
    """Days between a customer's leaving and the company's recording it."""
    new_customers_per_day: float | None = Field(default=None, ge=0)
    """Expected signups a day; by default as many as usually leave."""
    drift: Drift | None = None
    bad_rows: BadRows = BadRows()
