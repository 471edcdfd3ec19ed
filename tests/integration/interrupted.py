"""Steps of a process that is killed, and what they leave of a model's aliases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient

from include.lifecycle.promotion.ledger import Aliases


def aliases(mlflow_url: str, name: str) -> Aliases:
    found = MlflowClient(mlflow_url, mlflow_url).get_registered_model(name).aliases
    return Aliases(**{alias: int(version) for alias, version in found.items()})


def killed(step: Callable[..., Any], moment: str) -> Callable[..., Any]:
    """The step of a process that dies before or after it."""

    def die(*args: Any) -> None:
        if moment == "after":
            step(*args)
        raise KeyboardInterrupt

    return die
