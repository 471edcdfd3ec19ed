"""The sample company: what its operational tables gain on each day.

A pure function of the settings, the company's first day and the day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import cached_property

import numpy as np
import polars as pl

from include.samples import behaviour, drift, faults
from include.samples.customers import as_recorded, sign_up
from include.samples.settings import CompanySettings, Drift

_BURN_IN_DAYS = 90
_USUAL_DAILY_CHURN = 0.0015
_FOUNDERS_REACH_BACK_DAYS = 2100


class _Stream(IntEnum):
    """Independent sources of chance, so that more draws in one place change nothing elsewhere."""

    FOUNDING = 0
    LEAVING = 1
    PLANS = 2
    DRIFT = 3
    SIGNUPS = 4
    LIFE = 5
    USAGE = 6
    INVOICES = 7
    FAULTS = 8


@dataclass(frozen=True)
class DayRows:
    """What the operational tables gain on one day.

    `customers`, `usage_daily`, `invoices` and `churns` are rows to insert, with the columns of their tables.
    `closed` (customer_id, valid_from, valid_to) ends customer versions that were current until then.
    `payments` (invoice_id, paid_on, is_late) completes invoices issued earlier.
    """

    day: date
    customers: pl.DataFrame
    closed: pl.DataFrame
    usage_daily: pl.DataFrame
    invoices: pl.DataFrame
    payments: pl.DataFrame
    churns: pl.DataFrame


@dataclass(frozen=True)
class _State:
    """The company at the end of a day."""

    book: pl.DataFrame
    """Active customers, see `customers.sign_up`."""
    leavers: pl.DataFrame
    """Customers gone but not yet recorded as gone: the book's columns and churned_on."""
    unpaid: pl.DataFrame
    """Invoices with the payment day they will have, see `behaviour.issue_invoices`."""
    next_number: int


@dataclass(frozen=True)
class _Events:
    """What happened on a day that the state at its end no longer shows."""

    new_versions: pl.DataFrame
    closed: pl.DataFrame
    issued: pl.DataFrame
    paid: pl.DataFrame
    recorded: pl.DataFrame


@dataclass(frozen=True)
class Company:
    """A telecom company that has customers from `first_day` on.

    Each day's state follows from the day before by chance seeded with (seed, day, purpose): the rows of a day
    are the same whenever and together with whatever other days they are generated.
    """

    settings: CompanySettings
    first_day: date

    def days(self, first: date, last: date) -> Iterator[DayRows]:
        """The rows of each day from `first` to `last`, in order.

        Raises
        ------
        ValueError
            `first` lies before the company's first day.
        """
        if first < self.first_day:
            raise ValueError(f"The company has no rows for {first}: its first day is {self.first_day}.")
        state, founding_invoices = self._opening
        for offset in range((last - self.first_day).days + 1):
            day = self.first_day + timedelta(days=offset)
            before = state
            state, events = self._advance(before, day)
            if day == self.first_day:
                events = _with_opening(events, before, founding_invoices)
            if day >= first:
                yield self._recorded(state, events, day)

    @cached_property
    def _opening(self) -> tuple[_State, pl.DataFrame]:
        """The state at the end of the day before the first, and the invoices issued until then.

        The company is run for a while before its first day, so that moods, strains and open invoices have
        their usual spread when the tables begin.
        """
        start = self.first_day - timedelta(days=_BURN_IN_DAYS)
        state = self._founding(start)
        issued = [_balance_carried_over(state.book, start)]
        for offset in range(_BURN_IN_DAYS):
            state, events = self._advance(state, start + timedelta(days=offset))
            issued.append(events.issued)
        return state, pl.concat(issued)

    def _founding(self, day: date) -> _State:
        rng = self._rng(day, _Stream.FOUNDING)
        count = self.settings.customers
        recent = rng.exponential(150, count)
        spread = rng.uniform(0, _FOUNDERS_REACH_BACK_DAYS, count)
        early = rng.uniform(_FOUNDERS_REACH_BACK_DAYS - 200, _FOUNDERS_REACH_BACK_DAYS, count)
        origin = rng.choice(3, count, p=(0.24, 0.66, 0.10))
        days_ago = np.choose(origin, (recent, spread, early)).clip(1, _FOUNDERS_REACH_BACK_DAYS).astype(np.int64)
        signups = pl.select(pl.lit(day) - pl.duration(days=pl.lit(pl.Series(days_ago)))).to_series()
        book = sign_up(rng, 1, signups, day)
        leavers = book.clear().with_columns(churned_on=pl.lit(None, pl.Date))
        return _State(book, leavers, behaviour.issue_invoices(rng, book.clear(), day), count + 1)

    def _advance(self, state: _State, day: date) -> tuple[_State, _Events]:
        """The state at the end of `day` and the day's events, given the state at the end of the day before."""
        changing = self._drift_on(day)
        pressure = drift.market_pressure(state.book, day, changing)
        gone = behaviour.leaves(self._rng(day, _Stream.LEAVING), state.book, day, pressure)
        leavers = pl.concat([state.leavers, state.book.filter(gone).with_columns(churned_on=pl.lit(day))])
        is_recorded = pl.col("churned_on") == day - timedelta(days=self.settings.label_delay_days)
        recorded = leavers.filter(is_recorded)

        staying = state.book.filter(~gone)
        book, replaced = self._change_plans(staying, day, changing)
        newcomers = self._sign_up(state.next_number, day, changing)
        new_versions = pl.concat([book.filter(pl.col("valid_from") == day), newcomers])

        book = behaviour.live(self._rng(day, _Stream.LIFE), pl.concat([book, newcomers], rechunk=True), day)
        book = behaviour.feel_overdue(book, state.unpaid, day)
        issued = behaviour.issue_invoices(self._rng(day, _Stream.INVOICES), book, day)
        unpaid = pl.concat([state.unpaid, issued])
        is_paid = pl.col("paid_on") == day

        after = _State(
            book, leavers.filter(~is_recorded), unpaid.filter(~is_paid), state.next_number + newcomers.height
        )
        closed = pl.concat([replaced, recorded.select(replaced.columns)]).with_columns(valid_to=pl.lit(day))
        return after, _Events(new_versions, closed, issued, unpaid.filter(is_paid), recorded)

    def _change_plans(
        self, book: pl.DataFrame, day: date, changing: Drift | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The book with today's versions of changed customers, and the versions that these replace."""
        changed_book = behaviour.change_plans(self._rng(day, _Stream.PLANS), book)
        starts = changing is not None and changing.first_day(self.first_day) == day
        changed_book = drift.change_plans(self._rng(day, _Stream.DRIFT), changed_book, changing, starts)
        versioned = ("contract", "payment_method", "monthly_charges")
        changed = np.logical_or.reduce([(changed_book[name] != book[name]).to_numpy() for name in versioned])
        replaced = book.filter(changed).select("customer_id", "valid_from")
        valid_from = pl.when(pl.lit(pl.Series(changed))).then(pl.lit(day)).otherwise("valid_from")
        return changed_book.with_columns(valid_from=valid_from), replaced

    def _sign_up(self, next_number: int, day: date, changing: Drift | None) -> pl.DataFrame:
        rng = self._rng(day, _Stream.SIGNUPS)
        expected = self.settings.new_customers_per_day
        if expected is None:
            expected = _USUAL_DAILY_CHURN * self.settings.customers
        newcomers = sign_up(rng, next_number, [day] * rng.poisson(expected), day)
        return drift.offer_to_newcomers(rng, newcomers, changing)

    def _recorded(self, state: _State, events: _Events, day: date) -> DayRows:
        """The day as the company's systems record it, bad rows included."""
        bad_rows = self.settings.bad_rows
        rng = self._rng(day, _Stream.FAULTS)
        strays = faults.stray_customers(rng, state.book, bad_rows, day)
        usage = behaviour.usage(self._rng(day, _Stream.USAGE), state.book, day)
        return DayRows(
            day=day,
            customers=pl.concat([as_recorded(events.new_versions), strays]),
            closed=events.closed,
            usage_daily=faults.spoil_usage(rng, usage, bad_rows),
            invoices=faults.spoil_invoices(rng, _known_on(events.issued, day), bad_rows),
            payments=events.paid.select("invoice_id", "paid_on", "is_late"),
            churns=events.recorded.select("customer_id", "churned_on", recorded_on=pl.lit(day)),
        )

    def _drift_on(self, day: date) -> Drift | None:
        """The drift in force on `day`."""
        wanted = self.settings.drift
        return wanted if wanted is not None and wanted.first_day(self.first_day) <= day else None

    def _rng(self, day: date, stream: _Stream) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, day.toordinal(), stream])


def _with_opening(events: _Events, opening: _State, invoices: pl.DataFrame) -> _Events:
    """The first day's events, to which everything that the company's tables hold from before is added."""
    known = pl.concat([opening.book, opening.leavers.drop("churned_on")])
    carried_over = invoices.filter(pl.col("customer_id").is_in(known["customer_id"].implode()))
    return _Events(
        new_versions=pl.concat([known, events.new_versions]),
        closed=events.closed,
        issued=pl.concat([carried_over, events.issued]),
        paid=events.paid,
        recorded=events.recorded,
    )


def _balance_carried_over(book: pl.DataFrame, day: date) -> pl.DataFrame:
    """One paid invoice per customer with all charges until `day`, as if from an earlier billing system."""
    months = ((pl.lit(day) - pl.col("signup_date")).dt.total_days() / 30.44).floor()
    return book.select(
        invoice_id=pl.format("{}-before", "customer_id"),
        customer_id="customer_id",
        issued_on=pl.lit(day),
        due_on=pl.lit(day),
        amount=(months * pl.col("monthly_charges")).round(2),
        paid_on=pl.lit(day),
        is_late=pl.lit(False),
    ).filter(pl.col("amount") > 0)


def _known_on(invoices: pl.DataFrame, day: date) -> pl.DataFrame:
    """Invoices as they stood before the payments of `day`."""
    is_paid = pl.col("paid_on") < day
    return invoices.with_columns(
        paid_on=pl.when(is_paid).then("paid_on"), is_late=pl.when(is_paid).then("is_late")
    )
