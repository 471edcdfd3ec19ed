"""The assets by which the DAGs wake each other: who writes and who waits use the same."""

from __future__ import annotations

from airflow.sdk import Asset


def features(dataset: str) -> Asset:
    """New or rebuilt features of a dataset."""
    return Asset(f"{dataset}_features")


def champion(model: str) -> Asset:
    """Another champion of a model."""
    return Asset(f"{model}_champion")


def predictions(model: str) -> Asset:
    """Published predictions of a model."""
    return Asset(f"{model}_predictions")


def retraining(model: str) -> Asset:
    """A request for a training of a model that no run has taken."""
    return Asset(f"{model}_retraining")
