"""The two lists that everything is generated from: a new dataset or model is one more entry here."""

from __future__ import annotations

from include.datasets.customers import CUSTOMERS
from include.datasets.market import MARKET
from include.lifecycle.modelling.tasks import checked_against_task
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.models.churn import CHURN
from include.models.returns import RETURNS
from include.models.volatility import VOLATILITY

DATASETS: dict[str, DatasetSpec] = {
    dataset.name: dataset
    for dataset in (
        CUSTOMERS,
        MARKET,
    )
}
MODELS: dict[str, ModelSpec] = {
    model.name: checked_against_task(model)
    for model in (
        CHURN,
        VOLATILITY,
        RETURNS,
    )
}
