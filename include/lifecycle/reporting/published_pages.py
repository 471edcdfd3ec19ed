"""What lies around a published report: the previous one, the next one, all of them; pages where there is none.

Addresses are relative to the report's own, `<area>/<kind>/<day>/` or `<area>/<kind>/version=<n>/<day>/`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from include.lifecycle.reporting.pages import Link, Navigation, Page, Verdict, render, with_navigation
from include.lifecycle.storage.lake import MANIFEST, Lake, partition_of

# A report's neighbours are looked for so many days away, then farther, so that a page costs no look at all days.
_REACHES = (45, 400)
_NEAREST = 5
_NAMES = {
    "validation": "validation page",
    "drift": "drift report",
    "performance": "performance report",
    "maintenance": "maintenance page",
    "maintenance_on_demand": "page of maintenance on demand",
    "portfolio": "page",
}
_MAKERS = {
    "validation": "{area}_etl",
    "model_card": "{area}_training",
    "drift": "{area}_monitoring",
    "performance": "{area}_monitoring",
    "maintenance": "maintenance",
    "maintenance_on_demand": "maintenance",
    "portfolio": "portfolio",
}
_VERSION = re.compile(r"/version=(\d{1,9})$")


@dataclass(frozen=True)
class Report:
    """A kind of report of a dataset or model; with `version`, of one version of the model."""

    area: str
    kind: str
    version: int | None = None

    @property
    def prefix(self) -> str:
        """Lake prefix of the report's days."""
        folder = "" if self.version is None else f"/version={self.version}"
        return f"reports/{self.area}/{self.kind}{folder}"

    @property
    def title(self) -> str:
        """What the report is called in a sentence."""
        version = "" if self.version is None else f", version {self.version}"
        return f"{_NAMES.get(self.kind, self.kind.replace('_', ' '))} of {self.area}{version}"

    @property
    def maker(self) -> str | None:
        """The DAG that makes the report if its area is one of the catalog's; None where the kind is unknown."""
        dag_id = _MAKERS.get(self.kind)
        return dag_id and dag_id.format(area=self.area)


def newest(lake: Lake, report: Report, today: date) -> str | None:
    """The address, relative to `<area>/<kind>/`, of the newest page; None where there is none.

    Of reports that belong to versions, that of the highest version, whatever older pages have no version.
    """
    versions = _versions(lake, report)
    if versions:
        version, day = versions[-1]
        return f"version={version}/{day}/"
    for since in (*_days_away(today, -1), date.min):
        days = lake.days(report.prefix, since)
        if days:
            return f"{days[-1]}/"
    return None


def around(lake: Lake, report: Report, day: date) -> Navigation:
    """The links at the head of a report: previous, next, newest and all."""
    if report.version is not None:
        return _around_version(lake, report, day)
    previous, following = _days_before(lake, report, day), _days_after(lake, report, day)
    others = [Link("All days", "../")] + ([Link("Newest", "../latest/")] if following else [])
    return Navigation(
        Link(str(previous[-1]), f"../{previous[-1]}/") if previous else None,
        Link(str(following[0]), f"../{following[0]}/") if following else None,
        others,
    )


def list_page(lake: Lake, report: Report) -> str | None:
    """A page with links to all pages of the report, newest first; None where there is none."""
    days, versions = lake.days(report.prefix), _versions(lake, report)
    if not days and not versions:
        return None
    groups = {
        f"{month:%B %Y}": [Link(str(day), f"{day}/") for day in of_month]
        for month, of_month in groupby(reversed(days), key=lambda day: day.replace(day=1))
    }
    if versions:
        groups["Versions"] = [_version_link(*place) for place in reversed(versions)]
    found = len(days) + len(versions)
    pages = f"{found} page{'s' if found > 1 else ''}"
    page = Page(
        f"{report.area}: {report.kind.replace('_', ' ')}",
        Verdict("neutral", f"All pages: {report.title}", f"{pages}, the newest first."),
    )
    return with_navigation(render(page), Navigation(groups=groups))


def missing_page(lake: Lake, report: Report, day: date, dags: Collection[str], file: str | None = None) -> str:
    """A page that says that there is no such report, or no such file of it, and links to the nearest ones.

    The DAG that makes the report is named if it is one of `dags`.
    """
    before, after = _days_before(lake, report, day), _days_after(lake, report, day)
    if file is not None and lake.find_manifest(report.prefix, day) is not None:
        headline = f"The {report.title} for {day} has no file {file}"
        return _nothing(headline, "The page itself is there.", [Link("Open the page", f"../{day}/")])
    headline = f"There is no {report.title} for {day}"
    near = [Link(str(near), f"../{near}/") for near in (*before[-_NEAREST:], *after[:_NEAREST])]
    if near:
        made = f" The DAG {report.maker} makes them." if report.maker in dags else ""
        return _nothing(headline, f"The nearest pages are linked here.{made}", [*near, Link("All days", "../")])
    base = "../" if report.version is None else "../../"
    versions = _versions(lake, Report(report.area, report.kind))[-_NEAREST:]
    if versions:
        cards = [_version_link(*place, base) for place in versions]
        return _nothing(headline, "The pages of the newest versions are linked here.", cards)
    return missing_report(report, dags)


def missing_report(report: Report, dags: Collection[str]) -> str:
    """A page that says that nothing of the kind has been published, and which of `dags` makes it."""
    run = f", or run the DAG {report.maker}, which makes it" if report.maker in dags else ""
    return _nothing(f"There is no {report.title} yet", f"Nothing has been published. Check the address{run}.")


def unknown_address() -> str:
    """A page that says what the address of a report looks like."""
    return _nothing(
        "No report has this address",
        "A report's address ends in its dataset or model, its kind and its day, e.g. churn/drift/2026-03-01/, or "
        "churn/drift/latest/ for the newest one.",
    )


def missing_predictions(model: str, day: str, name: str) -> str:
    """A page that says that there is no such prediction file, and what their addresses look like."""
    return _nothing(
        f"There is no file {name} of predictions of {model} for {day}",
        "An address ends in the model, the day and the file, e.g. churn/2026-03-01/predictions.csv, or "
        "churn/latest/predictions.parquet for the newest day.",
    )


def forbidden() -> str:
    """A page for those who are logged in, but with no right to see runs."""
    return _nothing(
        "You may not see this page",
        "It is for those who may see the runs of DAGs. Ask an admin for the role Viewer, or log in again.",
    )


def broken_page(headline: str, reason: str) -> str:
    """A page that says why a report cannot be shown."""
    return render(Page("Report", Verdict("bad", headline, reason)))


def _nothing(headline: str, reason: str, links: Sequence[Link] = ()) -> str:
    html = render(Page("Report", Verdict("neutral", headline, reason)))
    return with_navigation(html, Navigation(others=links)) if links else html


def _around_version(lake: Lake, report: Report, day: date) -> Navigation:
    here = (report.version or 0, day)
    versions = _versions(lake, Report(report.area, report.kind))
    before, after = [place for place in versions if place < here], [place for place in versions if place > here]
    others = [Link("All versions", "../../")] + ([Link("Newest", "../../latest/")] if after else [])
    return Navigation(
        _version_link(*before[-1], "../../") if before else None,
        _version_link(*after[0], "../../") if after else None,
        others,
    )


def _version_link(version: int, day: date, base: str = "") -> Link:
    return Link(f"Version {version}", f"{base}version={version}/{day}/")


def _versions(lake: Lake, report: Report) -> list[tuple[int, date]]:
    """The versions that have a page, and its day, in order."""
    if report.version is not None:
        return []
    places = (partition_of(key) for key in lake.keys(f"{report.prefix}/version="))
    found = ((_VERSION.search(place.prefix), place) for place in places if place and place.name == MANIFEST)
    return sorted((int(version[1]), place.day) for version, place in found if version)


def _days_before(lake: Lake, report: Report, day: date) -> list[date]:
    if day == date.min:
        return []
    found: list[date] = []
    for since in (*_days_away(day, -1), date.min):
        found = found or lake.days(report.prefix, since, day - timedelta(1))
    return found


def _days_after(lake: Lake, report: Report, day: date) -> list[date]:
    if day == date.max:
        return []
    found: list[date] = []
    for until in (*_days_away(day, 1), date.max):
        found = found or lake.days(report.prefix, day + timedelta(1), until)
    return found


def _days_away(day: date, sign: int) -> Iterator[date]:
    """Days before or after a day, each farther away, none beyond what a date can hold."""
    for reach in _REACHES:
        ordinal = day.toordinal() + sign * reach
        yield date.fromordinal(min(max(ordinal, date.min.toordinal()), date.max.toordinal()))
