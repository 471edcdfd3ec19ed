"""The two lists that everything is generated from: a new dataset or model is one more entry here."""

from __future__ import annotations

from include.datasets.customers import CUSTOMERS
from include.lifecycle.specs import DatasetSpec, ModelSpec
from include.models.churn import CHURN

DATASETS: dict[str, DatasetSpec] = {dataset.name: dataset for dataset in (CUSTOMERS,)}
MODELS: dict[str, ModelSpec] = {model.name: model for model in (CHURN,)}
