"""The model registry: versions of models in MLflow, their tags and aliases, and the models themselves.

Everything goes through an `MlflowClient` of the given address, so no global state of MLflow is read or changed.
What makes a version is `push`. The exporter imports this module, so it imports nothing heavy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.lifecycle.modelling import intervals, model_files
from include.lifecycle.modelling.model_files import REMEDY, UnusableModelError
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import file_sha256
from include.lifecycle.training.record import MODEL_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
VERDICT_TAG = "gate_verdict"
NOTE_TAG = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run."""
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model, with its tags."""

    name: str
    version: int
    tags: Mapping[str, str]

    @property
    def as_of(self) -> date:
        """The day as of which it was trained."""
        return date.fromisoformat(self._tag("as_of"))

    @property
    def score_column(self) -> str:
        """The column of its training's `holdout.parquet` that holds its scores."""
        return f"{self._tag('kind')}_score"

    def _tag(self, name: str) -> str:
        if name not in self.tags:
            raise UnusableModelError(
                f"Version {self.version} of {self.name!r} has lost its tag {name!r} in MLflow. {REMEDY}"
            )
        return self.tags[name]


def load(tracking_uri: str, name: str, version: int, trusted_types: Iterable[str], sha256: str | None) -> Any:
    """The estimator of a version, after checking its file against the ledger's digest and our list of types.

    Parameters
    ----------
    sha256 : digest of the file that was trained, from the ledger. None for a version from before the ledger
        kept digests: it is loaded with a warning.

    Raises
    ------
    UnusableModelError
        If the version or its file is gone, or the file is damaged, or not the one that was trained.
    UntrustedModelError
        If the file contains a type that is not in `trusted_types`.
    """
    title = f"version {version} of {name!r}"
    with TemporaryDirectory() as scratch:
        file = download_model(tracking_uri, name, version, Path(scratch))
        model_files.refuse_damage(file, title)
        if sha256 is None:
            log.warning(
                "The ledger has no digest of %s, which is from before digests were kept, so nobody can tell "
                "whether its file was replaced; train again.",
                title,
            )
        elif (found := file_sha256(file)) != sha256:
            raise UnusableModelError(
                f"The model file of {title} is not the one that was trained: its SHA-256 is {found[:16]}…, the "
                f"ledger has {sha256[:16]}…. {REMEDY}"
            )
        return model_files.load_trusted(file, trusted_types, title)


def fault(tracking_uri: str, model: ModelSpec, version: int, sha256: str | None) -> str | None:
    """A sentence that says why a version cannot be used, or None; parameters as in `load`."""
    try:
        load(tracking_uri, model.name, version, model.trusted_types, sha256)
        interval(tracking_uri, model, version)
    except UnusableModelError as error:
        return str(error)
    return None


def interval(tracking_uri: str, model: ModelSpec, version: int) -> intervals.Interval | None:
    """The interval of a version's predictions, from its tags, or None where the model has none.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version, or the version has lost its interval.
    """
    tags = version_tags(tracking_uri, model.name, version)
    if model.interval is None:
        return None
    found = intervals.from_tags(tags)
    if found is None:
        raise UnusableModelError(
            f"Version {version} of {model.name!r} has lost its tags `interval_...` in MLflow, without which its "
            f"predictions have no range. {REMEDY}"
        )
    return found


def download_model(tracking_uri: str, name: str, version: int, scratch: Path) -> Path:
    """The model file of a version, as it is in the artifact store."""
    from mlflow.artifacts import download_artifacts, list_artifacts

    with _explained_absence(name, version):
        location = mlflow_client(tracking_uri).get_model_version_download_uri(name, str(version))
    # The store answers for a missing file as for an outage; its list tells them apart.
    present = [Path(item.path).name for item in list_artifacts(artifact_uri=location, tracking_uri=tracking_uri)]
    if MODEL_FILE not in present:
        raise UnusableModelError(f"The model file of version {version} of {name!r} is missing in MLflow. {REMEDY}")
    file = f"{location}/{MODEL_FILE}"
    return Path(download_artifacts(artifact_uri=file, dst_path=str(scratch), tracking_uri=tracking_uri))


@contextmanager
def _explained_absence(name: str, version: int) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise
        raise UnusableModelError(f"Version {version} of {name!r} is not in MLflow any more. {REMEDY}") from error


def champion(tracking_uri: str, name: str) -> RegisteredVersion | None:
    """The present champion by its alias, or None where the model or the alias does not exist."""
    client = mlflow_client(tracking_uri)
    version = _aliases(client, name).get(CHAMPION)
    return None if version is None else RegisteredVersion(name, version, version_tags(tracking_uri, name, version))


def aliases(tracking_uri: str, name: str) -> Aliases:
    """The versions that a model's aliases point at."""
    present = _aliases(mlflow_client(tracking_uri), name)
    return Aliases(present.get(CHAMPION), present.get(CHALLENGER))


def settable(tracking_uri: str, name: str, aliases: Aliases) -> Aliases:
    """These aliases without those of versions that MLflow no longer has, which none can point at."""
    return Aliases(*(_present(tracking_uri, name, version) for version in astuple(aliases)))


def _present(tracking_uri: str, name: str, version: int | None) -> int | None:
    if version is None:
        return None
    try:
        version_tags(tracking_uri, name, version)
    except UnusableModelError:
        return None
    return version


def version(tracking_uri: str, name: str, number: int) -> RegisteredVersion:
    """A version by its number, with its tags."""
    return RegisteredVersion(name, number, version_tags(tracking_uri, name, number))


def version_tags(tracking_uri: str, name: str, version: int) -> dict[str, str]:
    """The tags of a version: `as_of`, `learnt_until`, `data_digest`, `gate_verdict` and others.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version.
    """
    with _explained_absence(name, version):
        return dict(mlflow_client(tracking_uri).get_model_version(name, str(version)).tags)


def tag_version(tracking_uri: str, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version; UnusableModelError if MLflow no longer has it."""
    client = mlflow_client(tracking_uri)
    with _explained_absence(name, version):
        for key, value in tags.items():
            client.set_model_version_tag(name, str(version), key, value)


def describe(tracking_uri: str, name: str, version: int, text: str, card: Path | None = None) -> None:
    """Set the description of a version and of its run, and log the version's card.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version.
    """
    client = mlflow_client(tracking_uri)
    with _explained_absence(name, version):
        run_id = str(client.get_model_version(name, str(version)).run_id)
        client.update_model_version(name, str(version), text)
    client.set_tag(run_id, NOTE_TAG, text)
    if card is not None:
        client.log_artifact(run_id, str(card))


def log_metrics(
    tracking_uri: str, name: str, version: int, metrics: Mapping[str, float], day: date, step: int
) -> None:
    """Log what was measured of a version on a day to its run; the same values again change nothing.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version.
    """
    from mlflow.entities import Metric

    client = mlflow_client(tracking_uri)
    with _explained_absence(name, version):
        run_id = str(client.get_model_version(name, str(version)).run_id)
    moment = int(datetime.combine(day, time.min, UTC).timestamp() * 1000)
    client.log_batch(run_id, [Metric(metric, value, moment, step) for metric, value in metrics.items()])


def set_aliases(tracking_uri: str, name: str, aliases: Aliases) -> None:
    """Make the aliases `champion` and `challenger` point at these versions, or at none.

    An alias of a version that MLflow no longer has is removed, with an error in the log.
    """
    client = mlflow_client(tracking_uri)
    present = _aliases(client, name)
    for alias, version in ((CHAMPION, aliases.champion), (CHALLENGER, aliases.challenger)):
        if version == present.get(alias):
            continue
        if version is not None and _set_alias(client, name, alias, version):
            log.info("Alias %r of model %r moved from %s to %s.", alias, name, present.get(alias), version)
        elif alias in present:
            client.delete_registered_model_alias(name, alias)
            log.info("Alias %r of model %r is removed from version %s.", alias, name, present[alias])


def _set_alias(client: MlflowClient, name: str, alias: str, version: int) -> bool:
    """Point an alias at a version; False, with an error in the log, where MLflow no longer has the version."""
    try:
        with _explained_absence(name, version):
            client.set_registered_model_alias(name, alias, str(version))
    except UnusableModelError as error:
        log.error("Alias %r of model %r cannot be set. %s", alias, name, error)
        return False
    return True


def mlflow_client(tracking_uri: str) -> MlflowClient:
    """A client of the server at an address, both its tracking and its registry."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def _aliases(client: MlflowClient, name: str) -> dict[str, int]:
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == _ABSENT:
            return {}
        raise
    return {alias: int(version) for alias, version in aliases.items()}
