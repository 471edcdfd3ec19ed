"""What there is of datasets and models, and what is left to do."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from include.catalog import MODELS
from include.datasets.market import MARKET
from include.lifecycle.failures import one_line
from include.lifecycle.specs import DatasetSpec
from include.stack import results
from include.stack.airflow_api import PAGE_SIZE, AirflowApi
from include.stack.errors import StackError
from include.stack.services import Services

SAMPLE, PORTFOLIO = "sample_world", "portfolio"
SAMPLE_CONNECTION = "company_db"
LONGEST_BREAK_DAYS = 14


class NoSourceError(StackError):
    """A dataset has no source, or settings that make none; the sentence says what to set."""


@dataclass(frozen=True)
class ModelSituation:
    """What there is of a model.

    Attributes
    ----------
    name : the model's name.
    has_champion : whether the registry names a champion.
    predictions_day : the day of the newest predictions.
    has_report : whether there is a drift report.
    """

    name: str
    has_champion: bool
    predictions_day: date | None
    has_report: bool


@dataclass(frozen=True)
class Situation:
    """What there is of a dataset and of the models that learn from it; from it follows what is left to do.

    Attributes
    ----------
    dataset : the dataset's name.
    source_day : the last day that the source has.
    source_is_sample : whether that source is the generated sample company.
    gets_new_days : whether it does; where not, a person decides what to train and score.
    features_day : the last day with features; None where the ETL has yet to renew them for changed code.
    models : what there is of each model.
    """

    dataset: str
    source_day: date
    source_is_sample: bool
    gets_new_days: bool
    features_day: date | None
    models: tuple[ModelSituation, ...]

    @property
    def data_is_old(self) -> bool:
        """Whether the source has a day without features."""
        return self.features_day is None or self.features_day < self.source_day


def steps(situations: Sequence[Situation], *, portfolio_is_old: bool) -> list[str]:
    """Return the ids of the DAGs that have something to do, in order."""
    sample_is_old = any(now.source_is_sample and now.data_is_old for now in situations)
    due = [dag_id for now in situations for dag_id in _steps(now)]
    return [*([SAMPLE] if sample_is_old else []), *due, *([PORTFOLIO] if portfolio_is_old else [])]


def _steps(now: Situation) -> list[str]:
    if not now.gets_new_days:
        return [] if now.features_day else [f"{now.dataset}_etl"]
    due = [f"{now.dataset}_etl"] if now.data_is_old else []
    for model in now.models:
        trains = [] if model.has_champion else [f"{model.name}_training"]
        scores = now.data_is_old or trains or model.predictions_day != now.features_day
        reports = scores or not model.has_report
        due += [
            *trains,
            *([f"{model.name}_scoring"] if scores else []),
            *([f"{model.name}_monitoring"] if reports else []),
        ]
    return due


def find_situation(services: Services, api: AirflowApi, dataset: DatasetSpec) -> Situation:
    """Ask what there is of a dataset.

    Raises
    ------
    NoSourceError
        If Airflow has no variable for its source, or the variable describes none.
    """
    variables = _variables(api)
    name = f"{dataset.name}_source"
    if name not in variables:
        raise NoSourceError(
            f"{dataset.title} has no source: Airflow has no variable {name!r}. Say in airflow_settings.yaml where "
            "the data are, as for the other datasets."
        )
    settings = _source_settings(name, variables[name])
    newest = results.newest_features_day(services, dataset.name)
    is_renewed = newest is None or not results.is_of_other_code(services, dataset, newest)
    return Situation(
        dataset=dataset.name,
        source_day=_newest_day(dataset),
        source_is_sample=settings.get("connection") == SAMPLE_CONNECTION and SAMPLE in variables,
        gets_new_days=_gets_new_days(dataset, name, settings),
        features_day=newest if is_renewed else None,
        models=tuple(
            _model_situation(services, model.name)
            for model in MODELS.values()
            if model.dataset.name == dataset.name
        ),
    )


def has_old_portfolio(services: Services, situations: Sequence[Situation]) -> bool:
    """Whether the market has, or will have, predictions of a newer day than the portfolio's."""
    market = next((now for now in situations if now.dataset == MARKET.name), None)
    if market is None or not market.gets_new_days:
        return False
    made = results.portfolio_day(services)
    return made is None or made < market.source_day


def _variables(api: AirflowApi) -> dict[str, str]:
    return {found["key"]: found["value"] for found in api.get("/variables", limit=PAGE_SIZE)["variables"]}


def _source_settings(name: str, value: str) -> dict[str, Any]:
    try:
        return dict(json.loads(value))
    except (ValueError, TypeError) as error:
        raise NoSourceError(f"The variable {name!r} is {value!r}, which is no JSON object; correct it.") from error


def _gets_new_days(dataset: DatasetSpec, name: str, settings: dict[str, Any]) -> bool:
    try:
        return dataset.make_source(settings, _not_opened).max_lag_days is not None
    except (ValueError, OSError) as error:
        raise NoSourceError(f"The variable {name!r} describes no source: {one_line(error)}.") from error


def _not_opened(connection_id: str) -> Any:
    """In place of a connection: what a source says of its lag needs none."""
    return SimpleNamespace(base_url=f"http://{connection_id}", key=None)


def _newest_day(dataset: DatasetSpec) -> date:
    """The last day of the dataset's calendar that is over."""
    yesterday = datetime.now(ZoneInfo(dataset.timezone)).date() - timedelta(days=1)
    return dataset.calendar.days(yesterday - timedelta(days=LONGEST_BREAK_DAYS), yesterday)[-1]


def _model_situation(services: Services, model: str) -> ModelSituation:
    latest = results.latest_predictions(services, model)
    return ModelSituation(
        name=model,
        has_champion=results.champion(services, model) is not None,
        predictions_day=latest.day if latest else None,
        has_report=results.newest_report(services, model) is not None,
    )
