"""What the customers do from one day to the next.

Causes come before effects: whether a customer leaves on a day is drawn from the state at the end of the day
before, and nothing a customer does depends on whether it will leave. Effects are log hazard ratios, chosen so
that an honest model of leaving within 30 days reaches a ROC AUC near 0.84 and 4-5 % of the customers leave in a
month; part of the hazard (`restlessness`) shows in no table.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from include.samples.customers import CONTRACTS, INSTANT_TRANSFER, PAYMENT_METHODS

_UNIX_EPOCH = date(1970, 1, 1).toordinal()

_AUTOMATIC = [
    PAYMENT_METHODS.index(method)
    for method in ("Bank transfer (automatic)", "Credit card (automatic)", INSTANT_TRANSFER)
]
_CREDIT_CARD = PAYMENT_METHODS.index("Credit card (automatic)")

_LOG_DAILY_HAZARD = -6.75
_CONTRACT_EFFECT = np.array([0.0, -1.2, -2.2])  # in the order of CONTRACTS
_INTERNET_EFFECT = np.array([0.0, 0.5, -0.6])  # in the order of INTERNET_SERVICES
_PAYMENT_EFFECT = np.array([0.35, 0.0, 0.0, 0.0, 0.0])  # in the order of PAYMENT_METHODS
_TENURE_EFFECT = -0.33
_CHARGES_EFFECT = 0.008
_RAISED_CHARGES_EFFECT = 4.0
_LATE_STRAIN_EFFECT = 0.9
_NEGLECT_EFFECT = 8.0
_RESTLESSNESS_EFFECT = 0.3

_DAILY_PAUSES = 0.002
_PAUSE_DAYS = 8.0
_DAILY_DISENGAGEMENTS = 0.0048
_DISENGAGEMENT_DAYS = 40.0
_DISSATISFACTION_IN_DISENGAGEMENT = 0.7
_ENGAGEMENT_DAYS = 7.0
_NEGLECT_DAYS = 14.0
_LATE_STRAIN_DAYS = 60.0

_DAILY_CONTRACT_UPGRADES = 0.0006
_DAILY_PAYMENT_SWITCHES = 0.0004

_WEEKDAY_DATA = (0.94, 0.92, 0.94, 0.96, 1.02, 1.14, 1.08)
_WEEKDAY_CALLS = (1.08, 1.06, 1.05, 1.05, 1.04, 0.88, 0.84)
_PAYMENT_TERM_DAYS = 14
_USUAL_PAYMENT_DAYS = 9.0


def leaves(
    rng: np.random.Generator, book: pl.DataFrame, day: date, market_pressure: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether each customer leaves on `day`. `market_pressure` is added to the log hazard."""
    raised = np.log(book["monthly_charges"].to_numpy() / book["agreed_charges"].to_numpy())
    log_hazard: NDArray[np.float64] = (
        _LOG_DAILY_HAZARD
        + _dissatisfaction(book, day)
        + _RAISED_CHARGES_EFFECT * raised
        + strain(book)
        + _RESTLESSNESS_EFFECT * book["restlessness"].to_numpy()
        + market_pressure
    )
    daily_probability = -np.expm1(-np.exp(log_hazard))
    return np.less(rng.random(book.height), daily_probability)


def strain(book: pl.DataFrame) -> NDArray[np.float64]:
    """What late payments and falling use add to the log hazard of leaving."""
    late: NDArray[np.float64] = _LATE_STRAIN_EFFECT * book["late_strain"].to_numpy()
    return late + _NEGLECT_EFFECT * book["neglect"].to_numpy()


def tenure_months(book: pl.DataFrame, day: date) -> NDArray[np.float64]:
    """How long each customer has stayed."""
    months: NDArray[np.float64] = (
        day.toordinal() - _UNIX_EPOCH - book["signup_date"].to_physical().to_numpy()
    ) / 30.44
    return months


def _dissatisfaction(book: pl.DataFrame, day: date) -> NDArray[np.float64]:
    """What a customer's plan and standing add to the log hazard of leaving."""
    dissatisfaction: NDArray[np.float64] = (
        _CONTRACT_EFFECT[book["contract"].to_numpy()]
        + _INTERNET_EFFECT[book["internet_service"].to_numpy()]
        + _PAYMENT_EFFECT[book["payment_method"].to_numpy()]
        + _TENURE_EFFECT * np.log1p(tenure_months(book, day))
        + _CHARGES_EFFECT * (book["monthly_charges"].to_numpy() - 65)
    )
    return dissatisfaction


def change_plans(rng: np.random.Generator, book: pl.DataFrame) -> pl.DataFrame:
    """The book after the day's ordinary changes: longer contracts, switches to payment by credit card."""
    upgrades = rng.random(book.height) < _DAILY_CONTRACT_UPGRADES
    switches = rng.random(book.height) < _DAILY_PAYMENT_SWITCHES
    contract = book["contract"].to_numpy()
    longer = np.minimum(contract + upgrades, len(CONTRACTS) - 1)
    payment = book["payment_method"].to_numpy()
    by_card = np.where(switches, _CREDIT_CARD, payment)
    return book.with_columns(
        contract=pl.Series(longer, dtype=pl.UInt8), payment_method=pl.Series(by_card, dtype=pl.UInt8)
    )


def live(rng: np.random.Generator, book: pl.DataFrame, day: date) -> pl.DataFrame:
    """The book after a day's change of engagement.

    Customers now and then fall back in use: for a short pause, or for weeks of disengagement, which unhappy
    customers enter more often. In a fallback `engagement` (1 = usual use) sinks towards `low_level`; `neglect`
    is its shortfall as it has built up over two weeks, and is what makes customers leave.
    """
    pause, disengage, length, depth = rng.random((4, book.height))
    unhappy = np.exp(_DISSATISFACTION_IN_DISENGAGEMENT * _dissatisfaction(book, day))
    days_left = book["low_days_left"].to_numpy()
    disengages = (days_left <= 0) & (disengage < _DAILY_DISENGAGEMENTS * unhappy)
    pauses = (days_left <= 0) & ~disengages & (pause < _DAILY_PAUSES)
    falls_back = disengages | pauses
    mean_days = np.where(disengages, _DISENGAGEMENT_DAYS, _PAUSE_DAYS)
    days_left = np.where(falls_back, np.ceil(-np.log1p(-length) * mean_days), np.maximum(days_left - 1, 0))
    low_level = np.where(falls_back, 0.15 + 0.5 * depth, book["low_level"].to_numpy())

    engagement, neglect = book["engagement"].to_numpy(), book["neglect"].to_numpy()
    engagement = engagement + (np.where(days_left > 0, low_level, 1.0) - engagement) / _ENGAGEMENT_DAYS
    neglect = neglect + (1 - engagement - neglect) / _NEGLECT_DAYS
    return book.with_columns(
        pl.Series("low_days_left", days_left),
        pl.Series("low_level", low_level),
        pl.Series("engagement", engagement),
        pl.Series("neglect", neglect),
        late_strain=pl.col("late_strain") * (1 - 1 / _LATE_STRAIN_DAYS),
    )


def usage(rng: np.random.Generator, book: pl.DataFrame, day: date) -> pl.DataFrame:
    """The day's use, a row per customer: customer_id, day, data_mb, call_minutes."""
    engagement = book["engagement"].to_numpy()
    data_noise = rng.standard_normal(book.height)
    call_noise = rng.standard_normal(book.height)
    data = _WEEKDAY_DATA[day.weekday()] * book["usual_data_mb"].to_numpy() * engagement
    calls = _WEEKDAY_CALLS[day.weekday()] * book["usual_call_minutes"].to_numpy() * np.sqrt(engagement)
    return pl.DataFrame(
        {
            "customer_id": book["customer_id"],
            "day": pl.repeat(day, book.height, dtype=pl.Date, eager=True),
            "data_mb": np.round(data * np.exp(0.4 * data_noise), 1),
            "call_minutes": np.round(calls * np.exp(0.6 * call_noise), 1),
        }
    )


def issue_invoices(rng: np.random.Generator, book: pl.DataFrame, day: date) -> pl.DataFrame:
    """Invoices for the customers billed on this day of the month, with the payment day they will have.

    Columns: invoice_id, customer_id, issued_on, due_on, amount, paid_on, is_late.
    """
    billed = book.filter((pl.col("billing_day") == day.day) & (pl.col("signup_date") < day))
    noise = pl.lit(pl.Series(rng.standard_normal(billed.height)))
    automatic = pl.col("payment_method").is_in(_AUTOMATIC)
    delay = _USUAL_PAYMENT_DAYS * (0.3 * pl.col("payment_laxity") + 0.25 * noise - 0.2 * automatic).exp()
    due_on = day + timedelta(days=_PAYMENT_TERM_DAYS)
    return billed.select(
        invoice_id=pl.format("{}-{}", "customer_id", pl.lit(f"{day:%Y%m}")),
        customer_id="customer_id",
        issued_on=pl.lit(day),
        due_on=pl.lit(due_on),
        amount="monthly_charges",
        paid_on=pl.lit(day) + pl.duration(days=delay.round().cast(pl.Int64).clip(1)),
    ).with_columns(is_late=pl.col("paid_on") > due_on)


def feel_overdue(book: pl.DataFrame, unpaid: pl.DataFrame, day: date) -> pl.DataFrame:
    """The book after the day's reminders: an unpaid invoice that fell due yesterday adds to the strain."""
    overdue = unpaid.filter(pl.col("due_on") == day - timedelta(days=1), pl.col("paid_on") >= day)
    reminded = pl.col("customer_id").is_in(overdue["customer_id"].implode())
    return book.with_columns(late_strain=pl.col("late_strain") + reminded)
