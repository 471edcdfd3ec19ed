"""Which days to make a portfolio for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from include.lifecycle.look_back import Look, undone_days
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, partition
from include.portfolio import inputs as sources
from include.portfolio.inputs import PORTFOLIO, PRICES, REPORT, RETURNS, VOLATILITY
from include.portfolio.settings import PortfolioSettings
from include.portfolio.weights import PortfolioError

SETTINGS = f"{PORTFOLIO}/settings.json"
"""The newest settings that a portfolio was made with. The time of writing tells which days may have older ones."""

_NEEDED = (PRICES, RETURNS, VOLATILITY)


def plan(lake: Lake, requested: tuple[date, date] | None, settings: PortfolioSettings) -> list[date]:
    """The days to make a portfolio for, oldest first.

    Without a request these are the days that have prices and predictions of both models, from the first one that
    has no portfolio, or one of other inputs or settings than there are now: each portfolio starts from the one
    before, so all later ones follow. How far back they are looked for, see `undone_days`. A day whose portfolio
    was refused (see `make_or_refuse`) is done until its inputs or the settings change. A requested range (both
    ends included) is made whatever the lake has.

    Raises
    ------
    PortfolioError
        If none of the requested days has prices and both predictions.
    """
    if requested is None:
        return _undone(lake, settings)
    days = _ready({prefix: lake.written(prefix, *requested) for prefix in _NEEDED})
    if not days:
        raise PortfolioError(
            f"No day from {requested[0]} to {requested[1]} has prices and predictions of both returns and "
            "volatility; run market_etl and the scoring of both models for these days first."
        )
    return days


def note_settings(lake: Lake, settings: PortfolioSettings) -> None:
    """Leave a note of the settings that portfolios are made with now, if these are new ones."""
    if _settings_written(lake, settings) is None:
        lake.write_object(SETTINGS, settings.model_dump_json().encode())


def _undone(lake: Lake, settings: PortfolioSettings) -> list[date]:
    changed = _settings_written(lake, settings)
    if changed is None:
        return _ready({prefix: lake.written(prefix) for prefix in _NEEDED})

    def look(since: date) -> Look:
        found = _found(lake, since, changed)
        return Look(found.ready, found.undone(lake, settings), found.written[PORTFOLIO])

    newest = latest.usable(lake, PORTFOLIO)
    return undone_days(newest.day if newest else None, date.min, look)


def _settings_written(lake: Lake, settings: PortfolioSettings) -> datetime | None:
    """Since when portfolios are made with these settings, by the S3 server's clock; None for other ones."""
    try:
        found = lake.client.get_object(Bucket=lake.bucket, Key=SETTINGS)
    except lake.client.exceptions.NoSuchKey:
        return None
    # HTTP cuts the time to the second: whatever is written within that second may be older.
    changed: datetime = found["LastModified"] + timedelta(seconds=1)
    return changed if found["Body"].read() == settings.model_dump_json().encode() else None


def _ready(written: Mapping[str, Mapping[date, datetime]]) -> list[date]:
    """The days that have all that a portfolio needs, oldest first."""
    return sorted(set.intersection(*(set(written[prefix]) for prefix in _NEEDED)))


@dataclass(frozen=True)
class _Found:
    """What was written when, by prefix, and since when the settings are those of now."""

    written: Mapping[str, Mapping[date, datetime]]
    ready: list[date]
    changed: datetime

    def undone(self, lake: Lake, settings: PortfolioSettings) -> list[date]:
        """The days from the first one that is not done."""
        done = (self._is_done(lake, day, settings) for day in self.ready)
        first = next((place for place, fine in enumerate(done) if not fine), len(self.ready))
        return self.ready[first:]

    def _is_done(self, lake: Lake, day: date, settings: PortfolioSettings) -> bool:
        """Whether the day's page is of what there is now: its inputs, the settings, the portfolio.

        Manifests are read only where times leave it open: the page is published last, so it is the newest of all.
        """
        shown, made = self.written[REPORT].get(day), self.written[PORTFOLIO].get(day)
        if shown is None:
            return False
        newest = max(self._times(day))
        if newest < shown and (made is None or newest < made < shown):
            return True
        inputs = sources.pin(lake, day, settings).inputs
        page, portfolio = (lake.usable_manifest(prefix, day) for prefix in (REPORT, PORTFOLIO))
        if page is not None and page.inputs == inputs:  # the page of a refusal
            return True
        if page is None or portfolio is None or portfolio.inputs != inputs:
            return False
        return (
            page.inputs == {partition(PORTFOLIO, day): portfolio.digest} and lake.intact(REPORT, day) is not None
        )

    def _times(self, day: date) -> list[datetime]:
        """When what the day's portfolio is made of was written: predictions, prices since the one before, that."""
        before = max((made for made in self.written[PORTFOLIO] if made < day), default=date.min)
        times = [self.changed, self.written[RETURNS][day], self.written[VOLATILITY][day]]
        times += [written for session, written in self.written[PRICES].items() if before < session <= day]
        return [*times, self.written[PORTFOLIO][before]] if before in self.written[PORTFOLIO] else times


def _found(lake: Lake, since: date, changed: datetime) -> _Found:
    written = {prefix: lake.written(prefix, since) for prefix in (*_NEEDED, PORTFOLIO, REPORT)}
    return _Found(written, _ready(written), changed)
