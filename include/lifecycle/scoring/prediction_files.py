"""What the files of predictions are called, and what their manifests say of who made them."""

from __future__ import annotations

from datetime import date

from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage import latest
from include.lifecycle.storage.lake import Lake, Manifest, partition

PARQUET = "predictions.parquet"
CSV = "predictions.csv"
TARGET_FROM, TARGET_UNTIL = "target_from", "target_until"
"""First and last day that a prediction is about; files of older code lack them."""


class PredictionsError(ValueError):
    """The scores break the contract of the prediction files."""


def predictions_table(model: ModelSpec) -> str:
    """Name of the warehouse table that consumers query."""
    return f"{model.name}_predictions"


def features_input(model: ModelSpec, day: date) -> str:
    """Name of the day's features among the inputs of a manifest."""
    return partition(model.dataset.features_prefix, day)


def version_input(model: ModelSpec) -> str:
    """Name of the model version among the inputs of a manifest."""
    return f"{latest.MODEL_INPUT}{model.name}"


def challenger_input(model: ModelSpec) -> str:
    """Name, among the inputs of a manifest, of the challenger that an A/B test gives a share of the keys."""
    return f"{latest.CHALLENGER_INPUT}{model.name}"


def share_input(model: ModelSpec) -> str:
    """Name, among the inputs of a manifest, of that share and of how its keys are drawn."""
    return f"ab_test:/{model.name}"


def unsplit_input(model: ModelSpec) -> str:
    """Name, among the inputs of a manifest, of why the challenger did not get its share."""
    return f"unsplit:/{model.name}"


def versions_with_reasons(model: ModelSpec, manifest: Manifest) -> list[int]:
    """The versions whose scores in a manifest were given reasons: it names what is kept of their training."""
    named = (manifest.inputs.get(name(model)) for name in (version_input, challenger_input))
    kept = {int(version): f"{model.reference_prefix(int(version))}/" for version in named if version}
    return [version for version in kept if any(path.startswith(kept[version]) for path in manifest.inputs)]


def rescored_input(model: ModelSpec) -> str:
    """Name, among the inputs of a manifest, of why a day was scored again with another version."""
    return f"rescored:/{model.name}"


def version_of(model: ModelSpec, manifest: Manifest) -> int:
    """The version that made the scores of a manifest."""
    return int(manifest.inputs[version_input(model)])


def latest_version(model: ModelSpec, lake: Lake) -> int | None:
    """The version that made the newest published predictions, or None before there are any."""
    named = latest.usable(lake, model.predictions_prefix)
    manifest = lake.usable_manifest(model.predictions_prefix, named.day) if named else None
    if manifest is None:
        newest = lake.newest(model.predictions_prefix)
        manifest = newest[1] if newest else None
    return None if manifest is None else version_of(model, manifest)
