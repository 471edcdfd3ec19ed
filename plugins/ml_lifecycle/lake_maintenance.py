"""What a run of `maintenance` looks at, and which DAG makes what, from the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from include.catalog import DATASETS, MODELS
from ml_lifecycle.days import requested_range, run_start, yesterday

if TYPE_CHECKING:
    from include.lifecycle.operations.maintenance_policy import Catalog, Scope


@dataclass(frozen=True)
class LakeDays:
    """The days that the lake can have, of whatever dataset; the lake lives in UTC."""

    first_day: date
    timezone: str = "UTC"


ALL_DAYS = LakeDays(min(dataset.first_day for dataset in DATASETS.values()))


def scope(context: Mapping[str, Any]) -> Scope:
    """What the run looks at, by its form."""
    from include.lifecycle.operations.maintenance_policy import Scope

    return Scope(
        until=yesterday(context, ALL_DAYS.timezone),
        started_at=run_start(context),
        prefix=context["params"]["prefix"] or "",
        days=requested_range(context, ALL_DAYS),
        dry_run=context["params"]["dry_run"],
    )


def catalog() -> Catalog:
    """The datasets, the models, and which DAG makes which partitions."""
    from include.lifecycle.operations.maintenance_policy import Catalog, Maker, makers
    from include.portfolio.inputs import PORTFOLIO, REPORT

    datasets, models = list(DATASETS.values()), list(MODELS.values())
    weights = Maker(prefix=PORTFOLIO, dag_id="portfolio", stage=3, latest=True)
    page = Maker(prefix=REPORT, dag_id="portfolio", stage=3)
    return Catalog(datasets, models, [*makers(datasets, models), weights, page])
