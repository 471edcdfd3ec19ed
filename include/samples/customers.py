"""Who the customers are: attributes drawn with the mix of the IBM Telco churn data.

The book is one polars frame with a row per active customer: the columns of the operational table (categories
as positions in `CATEGORIES`) and what drives the customer and no table shows.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.datasets.customers.columns import ADD_ONS

CUSTOMER_COLUMNS = (
    "customer_id",
    "valid_from",
    "valid_to",
    "gender",
    "senior_citizen",
    "partner",
    "dependents",
    "phone_service",
    "multiple_lines",
    "internet_service",
    *ADD_ONS,
    "contract",
    "paperless_billing",
    "payment_method",
    "monthly_charges",
    "age",
    "location",
    "signup_date",
)

NO_YES = ("No", "Yes")
INTERNET_SERVICES = ("DSL", "Fiber optic", "No")
CONTRACTS = ("Month-to-month", "One year", "Two year")
INSTANT_TRANSFER = "Instant transfer"
PAYMENT_METHODS = (
    "Electronic check",
    "Mailed check",
    "Bank transfer (automatic)",
    "Credit card (automatic)",
    INSTANT_TRANSFER,
)
LOCATIONS = (
    "Los Angeles",
    "San Diego",
    "San Jose",
    "San Francisco",
    "Sacramento",
    "Fresno",
    "Long Beach",
    "Oakland",
    "Bakersfield",
    "Anaheim",
)
CATEGORIES = {
    "gender": ("Female", "Male"),
    "partner": NO_YES,
    "dependents": NO_YES,
    "phone_service": NO_YES,
    "multiple_lines": (*NO_YES, "No phone service"),
    "internet_service": INTERNET_SERVICES,
    **dict.fromkeys(ADD_ONS, (*NO_YES, "No internet service")),
    "contract": CONTRACTS,
    "paperless_billing": NO_YES,
    "payment_method": PAYMENT_METHODS,
    "location": LOCATIONS,
}
"""What the numbers in the book's category columns stand for, by position."""

_DSL, _FIBER, _NO_INTERNET = range(3)
_INTERNET_SHARES = (0.34, 0.44, 0.22)
_LOCATION_SHARES = (0.28, 0.14, 0.12, 0.11, 0.09, 0.07, 0.06, 0.06, 0.04, 0.03)

# One row per internet service from here on, in the order of INTERNET_SERVICES.
_ADD_ON_SHARES_AT_SIGNUP = np.array(
    [[0.26, 0.25, 0.21, 0.27, 0.24, 0.25], [0.10, 0.22, 0.24, 0.11, 0.42, 0.42], [0.0] * 6]
)
_ADD_ON_GROWTH = np.array([0.85, 0.85, 0.0])
_PAYMENT_SHARES = np.array(
    [[0.27, 0.25, 0.23, 0.25, 0.0], [0.51, 0.09, 0.21, 0.19, 0.0], [0.08, 0.48, 0.22, 0.22, 0.0]]
)
_MONTH_TO_MONTH_SHARE_AT_SIGNUP = np.array([0.92, 0.97, 0.69])
_PAPERLESS_SHARE = np.array([0.63, 0.77, 0.29])
_CONNECTION_CHARGES = np.array([25.0, 50.0, 0.0])
_TYPICAL_DAILY_MB = np.array([1800.0, 4000.0, 0.0])

_PHONE_CHARGES = 20.0
_SECOND_LINE_CHARGES = 5.0
_ADD_ON_CHARGES = np.array([5.0, 5.0, 5.0, 5.0, 10.0, 10.0])
_TYPICAL_DAILY_CALL_MINUTES = 18.0
_DAYS_PER_MONTH = 30.44
_LONGEST_TENURE_MONTHS = 72


def sign_up(
    rng: np.random.Generator, first_number: int, signup_dates: Sequence[date] | pl.Series, today: date
) -> pl.DataFrame:
    """Book rows for new customers numbered from `first_number`, one per signup date (none after `today`).

    Longer-standing customers more often have longer contracts and more add-ons, as in the Telco data.
    """
    signups = pl.Series("signup_date", signup_dates, dtype=pl.Date)
    count = len(signups)
    days = (pl.Series([today]).cast(pl.Date) - signups).dt.total_days().to_numpy()
    standing = np.minimum(days / _DAYS_PER_MONTH / _LONGEST_TENURE_MONTHS, 1.0)
    internet = _draw(rng, np.tile(_INTERNET_SHARES, (count, 1)))
    phone = (internet != _DSL) | (rng.random(count) < 0.72)
    lines = phone & (rng.random(count) < 0.33 + 0.30 * standing)
    add_ons = _draw_add_ons(rng, internet, standing)
    age = np.clip(rng.normal(47, 17.5, count).round(), 18, 92).astype(np.int64)
    partner = rng.random(count) < 0.36 + 0.28 * standing
    charges = _monthly_charges(rng, internet, phone, lines, add_ons)
    columns: dict[str, pl.Series | NDArray[np.generic]] = {
        "customer_id": customer_ids(first_number, count),
        "valid_from": signups,
        "gender": rng.integers(0, 2, count),
        "senior_citizen": age >= 65,
        "partner": partner,
        "dependents": rng.random(count) < np.where(partner, 0.50, 0.11),
        "phone_service": phone,
        "multiple_lines": np.where(phone, lines, 2),
        "internet_service": internet,
        **_add_on_codes(internet, add_ons),
        "contract": _draw_contracts(rng, internet, standing),
        "paperless_billing": rng.random(count) < _PAPERLESS_SHARE[internet],
        "payment_method": _draw(rng, _PAYMENT_SHARES[internet]),
        "monthly_charges": charges,
        "age": age,
        "location": _draw(rng, np.tile(_LOCATION_SHARES, (count, 1))),
        "signup_date": signups,
    }
    frame = pl.DataFrame({**columns, **_inner_life(rng, internet, phone, add_ons, charges)})
    return frame.with_columns(pl.col(*CATEGORIES).cast(pl.UInt8))


def customer_ids(first_number: int, count: int) -> pl.Series:
    """`count` consecutive ids such as C0000001."""
    numbers = pl.int_range(first_number, first_number + count, eager=True)
    return "C" + numbers.cast(pl.String).str.zfill(7)


def as_recorded(book: pl.DataFrame) -> pl.DataFrame:
    """The book as the operational table shows it: text for categories, versions that are current."""
    texts = {name: pl.lit(pl.Series(options)).gather(name) for name, options in CATEGORIES.items()}
    shown = book.with_columns(pl.col("senior_citizen").cast(pl.Int64), valid_to=pl.lit(None, pl.Date), **texts)
    return shown.select(CUSTOMER_COLUMNS)


def _inner_life(
    rng: np.random.Generator,
    internet: NDArray[np.int64],
    phone: NDArray[np.bool_],
    add_ons: NDArray[np.bool_],
    charges: NDArray[np.float64],
) -> dict[str, NDArray[np.generic]]:
    """What drives a customer and no table shows; `behaviour` says what each does."""
    count = len(internet)
    streaming = add_ons[:, 4:].sum(axis=1)
    return {
        "agreed_charges": charges,
        "restlessness": rng.normal(0, 1, count),
        "payment_laxity": rng.normal(0, 1, count),
        "billing_day": rng.integers(1, 29, count),
        "usual_data_mb": _TYPICAL_DAILY_MB[internet] * (1 + 0.6 * streaming) * rng.lognormal(0, 0.5, count),
        "usual_call_minutes": _TYPICAL_DAILY_CALL_MINUTES * phone * rng.lognormal(0, 0.6, count),
        "engagement": np.ones(count),
        "low_level": np.ones(count),
        "low_days_left": np.zeros(count),
        "neglect": np.zeros(count),
        "late_strain": np.zeros(count),
    }


def _draw_add_ons(
    rng: np.random.Generator, internet: NDArray[np.int64], standing: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which of `ADD_ONS` each customer has, as (customers, 6)."""
    at_signup = _ADD_ON_SHARES_AT_SIGNUP[internet]
    taken_since = (1 - at_signup) * (_ADD_ON_GROWTH[internet] * standing)[:, None]
    return rng.random(at_signup.shape) < at_signup + taken_since


def _add_on_codes(internet: NDArray[np.int64], add_ons: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """A column for each of `ADD_ONS`: 1 where a customer has it, 0 where not, 2 where it has no internet."""
    return {
        name: np.where(internet == _NO_INTERNET, 2, taken) for name, taken in zip(ADD_ONS, add_ons.T, strict=True)
    }


def _monthly_charges(
    rng: np.random.Generator,
    internet: NDArray[np.int64],
    phone: NDArray[np.bool_],
    lines: NDArray[np.bool_],
    add_ons: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """USD a month, by the price list that the Telco data follow."""
    listed: NDArray[np.float64] = (
        _PHONE_CHARGES * phone
        + _SECOND_LINE_CHARGES * lines
        + _CONNECTION_CHARGES[internet]
        + add_ons @ _ADD_ON_CHARGES
    )
    return np.round(listed + rng.uniform(-1, 1, len(internet)), 2)


def _draw_contracts(
    rng: np.random.Generator, internet: NDArray[np.int64], standing: NDArray[np.float64]
) -> NDArray[np.int64]:
    month_to_month = np.maximum(_MONTH_TO_MONTH_SHARE_AT_SIGNUP[internet] * (1 - 0.92 * standing), 0.03)
    two_year = (1 - month_to_month) * (0.22 + 0.48 * standing)
    return _draw(rng, np.column_stack([month_to_month, 1 - month_to_month - two_year, two_year]))


def _draw(rng: np.random.Generator, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """One option per row of `shares` (rows, options), whose rows sum to one, as its position."""
    passed = rng.random(len(shares))[:, None] > np.cumsum(shares, axis=1)[:, :-1]
    positions: NDArray[np.int64] = passed.sum(axis=1)
    return positions
