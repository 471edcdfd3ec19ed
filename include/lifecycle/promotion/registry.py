"""MLflow: trainings as runs, models as registered versions, champion and challenger as aliases.

Everything goes through an `MlflowClient` of the given address, so no global state of MLflow is read or changed.
A push may be interrupted anywhere: the next one finds what is there by its tags and finishes the job.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from include.lifecycle.modelling import intervals, model_files
from include.lifecycle.modelling.model_files import REMEDY, UnusableModelError
from include.lifecycle.promotion.ledger import Aliases
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, file_sha256, partition

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Param, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

log = logging.getLogger(__name__)

Kind = Literal["candidate", "baseline"]

CHAMPION = "champion"
CHALLENGER = "challenger"
VERDICT_TAG = "gate_verdict"

HOLDOUT = "holdout.parquet"
BASELINE = "baseline.skops"
MODEL_FILE = "model.skops"
TRAINING = "training.json"
_NOTE = "mlflow.note.content"
_STAGED_FILES: Mapping[Kind, str] = {"candidate": MODEL_FILE, "baseline": BASELINE}
_REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "skops")
_PARAM_LENGTH = 6000
_DIGEST_LENGTH = 36
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


@dataclass(frozen=True)
class PushedVersion:
    """A registered version, and the MLflow run of its training."""

    name: str
    version: int
    run_id: str
    uri: str


@dataclass(frozen=True)
class ChampionVersion:
    """A version that is or was champion, with its tags."""

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


def push(
    tracking_uri: str,
    model: ModelSpec,
    lake: Lake,
    as_of: date,
    staged_digest: str,
    run: RunInfo,
    which: Kind = "candidate",
) -> PushedVersion:
    """Register the staged model, or its baseline, with the whole story of its training.

    Pushing the same staged training again returns the same version, and restores its model file where that is
    missing or damaged; otherwise it changes nothing.

    Raises
    ------
    ValueError
        If the staged training of `as_of` is not the one named by `staged_digest`.
    UntrustedModelError
        If the staged model contains types that the spec does not trust.
    """
    client = _client(tracking_uri)
    mlflow_run = _training_run(client, model, lake, as_of, staged_digest, run, which)
    version = _registered_version(client, model.name, mlflow_run)
    with TemporaryDirectory() as scratch:
        staged = download_staged(lake, model, as_of, staged_digest, Path(scratch))
        if version is None or mlflow_run.info.status != "FINISHED":
            version = _push_files(client, model, mlflow_run, staged, Path(scratch), which, version)
        _repair_file(tracking_uri, model, version, staged[_STAGED_FILES[which]], Path(scratch))
    keep_reference(model, lake, as_of, staged_digest, int(version.version), run)
    return PushedVersion(model.name, int(version.version), mlflow_run.info.run_id, str(version.source))


def keep_reference(
    model: ModelSpec, lake: Lake, as_of: date, staged_digest: str, version: int, run: RunInfo
) -> None:
    """Keep what a version's card and monitoring need: another training of the day replaces what is staged.

    Raises
    ------
    ValueError
        If the staged training of `as_of` is not the one named by `staged_digest`.
    """
    prefix = model.reference_prefix(version)
    if lake.intact(prefix, as_of):
        return
    with TemporaryDirectory() as scratch:
        staged = download_staged(lake, model, as_of, staged_digest, Path(scratch))
        kept = (HOLDOUT, BASELINE, TRAINING)
        files = [LocalFile(Path(shutil.copyfile(staged[name], Path(scratch) / name))) for name in kept]
        lake.publish(prefix, as_of, files, run=run, inputs={partition(model.staging_prefix, as_of): staged_digest})


def download_staged(
    lake: Lake, model: ModelSpec, as_of: date, staged_digest: str, scratch: Path
) -> dict[str, Path]:
    """The files of a staged training, by their plain names.

    Raises
    ------
    ValueError
        If what is staged for `as_of` is not the training named by `staged_digest`.
    """
    manifest = lake.manifest(model.staging_prefix, as_of)
    if manifest.digest != staged_digest:
        raise ValueError(
            f"The training staged for {model.name!r} as of {as_of} is {manifest.digest}, not {staged_digest}: a "
            "later training replaced it. Push that one, or train again."
        )
    files = lake.download(model.staging_prefix, as_of, scratch)
    return {entry.plain_name: path for entry, path in zip(manifest.files, files, strict=True)}


def load(tracking_uri: str, name: str, version: int, trusted_types: Iterable[str], sha256: str | None) -> Any:
    """The estimator of a version, after checking its file against the ledger's digest and our list of types.

    Parameters
    ----------
    sha256 : digest of the file that was trained, from the ledger. None for a version that was judged before the
        ledger kept digests: it is loaded with a warning.

    Raises
    ------
    UnusableModelError
        If the version or its file is gone, or the file is damaged, or not the one that was trained.
    UntrustedModelError
        If the file contains a type that is not in `trusted_types`.
    """
    title = f"version {version} of {name!r}"
    with TemporaryDirectory() as scratch:
        file = _download(tracking_uri, name, version, Path(scratch))
        model_files.refuse_damage(file, title)
        if sha256 is None:
            log.warning(
                "The ledger has no digest of %s, which was judged before digests were kept, so nobody can tell "
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


def _download(tracking_uri: str, name: str, version: int, scratch: Path) -> Path:
    """The model file of a version, as it is in the artifact store."""
    from mlflow.artifacts import download_artifacts, list_artifacts

    with _explained_absence(name, version):
        location = _client(tracking_uri).get_model_version_download_uri(name, str(version))
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


def champion(tracking_uri: str, name: str) -> ChampionVersion | None:
    """The present champion by its alias, or None where the model or the alias does not exist."""
    client = _client(tracking_uri)
    version = _aliases(client, name).get(CHAMPION)
    return None if version is None else ChampionVersion(name, version, version_tags(tracking_uri, name, version))


def version(tracking_uri: str, name: str, number: int) -> ChampionVersion:
    """A version that is or was champion, by its number."""
    return ChampionVersion(name, number, version_tags(tracking_uri, name, number))


def version_tags(tracking_uri: str, name: str, version: int) -> dict[str, str]:
    """The tags of a version: `as_of`, `learnt_until`, `data_digest`, `gate_verdict` and others.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version.
    """
    with _explained_absence(name, version):
        return dict(_client(tracking_uri).get_model_version(name, str(version)).tags)


def tag_version(tracking_uri: str, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Set tags of a version; UnusableModelError if MLflow no longer has it."""
    client = _client(tracking_uri)
    with _explained_absence(name, version):
        for key, value in tags.items():
            client.set_model_version_tag(name, str(version), key, value)


def describe(tracking_uri: str, name: str, version: int, text: str, card: Path | None = None) -> None:
    """Write a text at the head of a version and of its run, and log the version's card.

    Raises
    ------
    UnusableModelError
        If MLflow no longer has the version.
    """
    client = _client(tracking_uri)
    with _explained_absence(name, version):
        run_id = str(client.get_model_version(name, str(version)).run_id)
        client.update_model_version(name, str(version), text)
    client.set_tag(run_id, _NOTE, text)
    if card is not None:
        client.log_artifact(run_id, str(card))


def set_aliases(tracking_uri: str, name: str, aliases: Aliases) -> None:
    """Make the aliases `champion` and `challenger` point at these versions, or at none.

    An alias of a version that MLflow no longer has is removed, with an error in the log.
    """
    client = _client(tracking_uri)
    present = _aliases(client, name)
    for alias, version in ((CHAMPION, aliases.champion), (CHALLENGER, aliases.challenger)):
        if version == present.get(alias):
            continue
        if version is None:
            client.delete_registered_model_alias(name, alias)
        else:
            try:
                with _explained_absence(name, version):
                    client.set_registered_model_alias(name, alias, str(version))
            except UnusableModelError as error:
                log.error("Alias %r of model %r cannot be set. %s", alias, name, error)
                if alias in present:
                    client.delete_registered_model_alias(name, alias)
                continue
        log.info("Alias %r of model %r moved from %s to %s.", alias, name, present.get(alias), version)


def _client(tracking_uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def _aliases(client: MlflowClient, name: str) -> dict[str, int]:
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(version) for alias, version in aliases.items()}


def _training_run(
    client: MlflowClient,
    model: ModelSpec,
    lake: Lake,
    as_of: date,
    staged_digest: str,
    run: RunInfo,
    which: Kind,
) -> Run:
    experiment_id = _experiment(client, model.name)
    tags = {"staged_digest": staged_digest, "kind": which}
    found = _search_runs(client, experiment_id, tags)
    if found:
        return found[0]
    of_the_day = {"as_of": str(as_of), "kind": which}
    number = len(_search_runs(client, experiment_id, of_the_day)) + 1
    training = lake.read_json(model.staging_prefix, as_of, TRAINING)
    what = f"candidate {training['candidate']}" if which == "candidate" else "baseline"
    return client.create_run(
        experiment_id,
        start_time=_milliseconds(run),
        run_name=f"{model.name} {as_of}, {what}, run {number}",
        tags={
            **tags,
            **of_the_day,
            "airflow_run": run.run_id,
            "airflow_run_url": run.url,
            "code_version": run.code_version,
        },
    )


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return _experiment(client, name)
        raise


def _search_runs(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> list[Run]:
    conditions = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    return list(client.search_runs([experiment_id], conditions, max_results=1000, order_by=["start_time ASC"]))


def _registered_version(client: MlflowClient, name: str, mlflow_run: Run) -> ModelVersion | None:
    versions = client.search_model_versions(f"name = '{name}' and run_id = '{mlflow_run.info.run_id}'")
    return versions[0] if versions else None


def _push_files(
    client: MlflowClient,
    model: ModelSpec,
    mlflow_run: Run,
    staged: Mapping[str, Path],
    scratch: Path,
    which: Kind,
    version: ModelVersion | None,
) -> ModelVersion:
    training = json.loads(staged["training.json"].read_text())
    _log_summary(client, mlflow_run, training, which)
    if which == "candidate":
        _log_trials(client, mlflow_run, training, f"validation_{training['tuning_metric']}")
        _log_pictures(client, mlflow_run, staged, scratch)
    client.log_artifact(mlflow_run.info.run_id, str(_renamed(staged[TRAINING], scratch, TRAINING)))
    logged = _log_model(client, model, mlflow_run, staged[_STAGED_FILES[which]], scratch)
    version = version or _register(client, model, mlflow_run, logged, _version_tags(mlflow_run, training, which))
    client.set_terminated(mlflow_run.info.run_id, "FINISHED")
    return version


def _repair_file(tracking_uri: str, model: ModelSpec, version: ModelVersion, staged: Path, scratch: Path) -> None:
    """Upload the model file of a version again where it is not the one that was staged."""
    try:
        found = _download(tracking_uri, model.name, int(version.version), scratch)
        if file_sha256(found) == file_sha256(staged):
            return
        damage = "is not the one that was trained"
    except UnusableModelError as error:
        damage = f"could not be had: {error}"
    log.error("The model file of version %s of %r %s; it is restored.", version.version, model.name, damage)
    file = _renamed(staged, scratch, MODEL_FILE)
    _client(tracking_uri).log_model_artifact(str(version.source).removeprefix("models:/"), str(file))


def _log_summary(client: MlflowClient, mlflow_run: Run, training: Mapping[str, Any], which: Kind) -> None:
    of_version = training["metrics"] if which == "candidate" else training["baseline_metrics"]
    metrics = {**of_version, **{f"baseline_{name}": value for name, value in training["baseline_metrics"].items()}}
    params = {name: training[name] for name in ("seed", "split", "trials_budget")}
    params |= {f"rows_{part}": rows for part, rows in training["rows"].items()}
    if which == "candidate":
        params |= {"candidate": training["candidate"], **training["params"]}
    run_id, moment = mlflow_run.info.run_id, mlflow_run.info.start_time
    client.log_batch(run_id, _metrics(metrics, moment), _params(params))
    client.set_tag(run_id, _NOTE, "\n\n".join([training["reason"], *training["warnings"]]))
    client.log_inputs(run_id, _datasets(training["data"]))


def _log_trials(client: MlflowClient, mlflow_run: Run, training: Mapping[str, Any], metric: str) -> None:
    parent_id, moment = mlflow_run.info.run_id, mlflow_run.info.start_time
    parent = {"mlflow.parentRunId": parent_id}
    children = _search_runs(client, mlflow_run.info.experiment_id, parent)
    present = {child.data.tags["trial"]: child for child in children}
    for trial in training["trials"]:
        number = str(trial["number"])
        child = present.get(number) or client.create_run(
            mlflow_run.info.experiment_id,
            start_time=moment,
            run_name=f"{mlflow_run.info.run_name}, trial {number}: {trial['candidate']}",
            tags={**parent, "trial": number, "state": trial["state"]},
        )
        if child.info.status == "RUNNING":
            params = {"candidate": trial["candidate"], **trial["params"]}
            values = _metrics({metric: trial["value"]}, moment)
            client.log_batch(child.info.run_id, values, _params(params))
            client.set_terminated(child.info.run_id, "FINISHED" if trial["value"] is not None else "FAILED")


def _log_pictures(client: MlflowClient, mlflow_run: Run, staged: Mapping[str, Path], scratch: Path) -> None:
    for name, path in staged.items():
        if path.suffix == ".png":
            client.log_artifact(mlflow_run.info.run_id, str(_renamed(path, scratch, name)), "pictures")


def _log_model(client: MlflowClient, model: ModelSpec, mlflow_run: Run, file: Path, scratch: Path) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput

    run_id, experiment_id = mlflow_run.info.run_id, mlflow_run.info.experiment_id
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    logged = found[0] if found else client.create_logged_model(experiment_id, "model", run_id)
    if logged.status == "READY":
        return logged
    outputs = client.get_run(run_id).outputs
    if outputs is None or not outputs.model_outputs:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    folder = _save(model, mlflow_run, logged, file, scratch / "mlflow_model")
    client.log_model_artifacts(logged.model_id, str(folder))
    return client.finalize_logged_model(logged.model_id, "READY")


def _save(model: ModelSpec, mlflow_run: Run, logged: LoggedModel, file: Path, folder: Path) -> Path:
    import mlflow.sklearn
    from mlflow.models import Model

    estimator = model_files.load_trusted(file, model.trusted_types, f"the staged training of {model.name!r}")
    mlflow.sklearn.save_model(
        estimator,
        str(folder),
        mlflow_model=Model(
            artifact_path=logged.artifact_location,
            run_id=mlflow_run.info.run_id,
            model_uuid=logged.model_id,
            model_id=logged.model_id,
        ),
        serialization_format="skops",
        signature=_signature(model),
        pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
        pyfunc_predict_fn="predict_proba" if model.kind == "classification" else "predict",
        skops_trusted_types=list(model.trusted_types),
    )
    # What is registered is, byte for byte, what was trained and measured.
    shutil.copyfile(file, folder / MODEL_FILE)
    return folder


def _signature(model: ModelSpec) -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    numeric = (ColSpec("double", name) for name in model.numeric)
    categorical = (ColSpec("string", name) for name in model.categorical)
    shape = (-1, 2) if model.kind == "classification" else (-1,)
    return ModelSignature(
        inputs=Schema([*numeric, *categorical]), outputs=Schema([TensorSpec(np.dtype("float64"), shape)])
    )


def _register(
    client: MlflowClient, model: ModelSpec, mlflow_run: Run, logged: LoggedModel, tags: Mapping[str, str]
) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model.name, description=model.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        model.name,
        source=f"models:/{logged.model_id}",
        run_id=mlflow_run.info.run_id,
        tags=dict(tags),
        await_creation_for=0,
        model_id=logged.model_id,
    )


def _version_tags(mlflow_run: Run, training: Mapping[str, Any], which: Kind) -> dict[str, str]:
    learnt = training["days"]["fit"]
    data = json.dumps(training["data"], sort_keys=True)
    return {
        "kind": which,
        "as_of": training["as_of"],
        "learnt_from": min(learnt),
        "learnt_until": max(learnt),
        "split": training["split"],
        "data_digest": hashlib.sha256(data.encode()).hexdigest(),
        "staged_digest": mlflow_run.data.tags["staged_digest"],
        "code_version": mlflow_run.data.tags["code_version"],
        "airflow_run_url": mlflow_run.data.tags["airflow_run_url"],
        **{f"interval_{name}": str(value) for name, value in training["intervals"].get(which, {}).items()},
    }


def _datasets(data: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=path,
                digest=digest[:_DIGEST_LENGTH],
                source_type="lake",
                source=json.dumps({"path": path, "digest": digest}),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for path, digest in sorted(data.items())
    ]


def _metrics(values: Mapping[str, float | None], moment: int) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(name, value, moment, 0)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def _params(values: Mapping[str, Any]) -> Sequence[Param]:
    from mlflow.entities import Param

    return [Param(name, str(value)[:_PARAM_LENGTH]) for name, value in values.items()]


def _renamed(file: Path, scratch: Path, name: str) -> Path:
    folder = scratch / "named"
    folder.mkdir(exist_ok=True)
    return Path(shutil.copyfile(file, folder / name))


def _milliseconds(run: RunInfo) -> int:
    return int(run.started_at.timestamp() * 1000)
