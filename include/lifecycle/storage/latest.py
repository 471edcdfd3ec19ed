"""`latest.json` beside the partitions of a prefix: it names the newest one and its files."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from include.lifecycle.storage import warehouse
from include.lifecycle.storage.lake import MANIFEST, FileEntry, Lake, LakeError, Manifest, partition

if TYPE_CHECKING:
    from psycopg2 import extensions

log = logging.getLogger(__name__)

MODEL_INPUT = "models:/"
"""What begins the name of the model version among a manifest's inputs."""
CHALLENGER_INPUT = "challenger:/"
"""What begins the name there of a second version, which made a part of the rows."""


class DamagedLatestError(LakeError):
    """A `latest.json` that cannot be read, or names no partition of its prefix."""


class Latest(BaseModel):
    """The content of `latest.json`: the newest published day and its files.

    Attributes
    ----------
    manifest : the lake key of the day's manifest.
    rows : those of the main file, e.g. how many predictions there are.
    model_name, model_version : what made the day; None where no single model did.
    challenger_version : the version that made a part of the rows, as each of them says; None where none did.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: date
    manifest: str
    files: tuple[FileEntry, ...]
    rows: int
    model_name: str | None = None
    model_version: int | None = None
    challenger_version: int | None = None

    @classmethod
    def of(cls, prefix: str, day: date, manifest: Manifest, main_file: str) -> Latest:
        """What `latest.json` says of a published day whose main file was published as `main_file`."""
        models = [name for name in manifest.inputs if name.startswith(MODEL_INPUT)]
        challengers = [manifest.inputs[name] for name in manifest.inputs if name.startswith(CHALLENGER_INPUT)]
        return cls(
            day=day,
            manifest=_manifest_key(prefix, day),
            files=manifest.files,
            rows=manifest.file(main_file).rows or 0,
            model_name=models[0].removeprefix(MODEL_INPUT) if models else None,
            model_version=int(manifest.inputs[models[0]]) if models else None,
            challenger_version=int(challengers[0]) if challengers else None,
        )

    def names(self, prefix: str, day: date, manifest: Manifest) -> bool:
        """Whether this is of the day, with the files that its manifest has."""
        return (self.day, self.manifest, self.files) == (day, _manifest_key(prefix, day), manifest.files)


def key(prefix: str) -> str:
    """Lake key of the `latest.json` of a prefix."""
    return f"{prefix}/latest.json"


def find(lake: Lake, prefix: str) -> Latest | None:
    """What `latest.json` says, or None where there is none.

    Raises
    ------
    DamagedLatestError
        If it cannot be read, or does not name a partition of the prefix.
    """
    body = lake.read_object(key(prefix))
    if body is None:
        return None
    try:
        latest = Latest.model_validate_json(body)
    except ValidationError as error:
        raise DamagedLatestError(_damaged(lake, prefix, str(error.errors()[0]["msg"]))) from error
    if latest.manifest != _manifest_key(prefix, latest.day):
        raise DamagedLatestError(
            _damaged(lake, prefix, f"{latest.manifest!r} is not the manifest of {latest.day}")
        )
    return latest


def usable(lake: Lake, prefix: str) -> Latest | None:
    """What `latest.json` says, or None where it is missing or damaged: for those who rebuild it."""
    try:
        return find(lake, prefix)
    except DamagedLatestError as error:
        log.warning("It counts as missing here: %s", error)
        return None


def advance(
    lake: Lake, connection: extensions.connection, prefix: str, day: date, main_file: str
) -> Latest | None:
    """Let `latest.json` name the newest day, now that `day` is published; returns what it says then.

    Days may be published side by side. One writer at a time, under a lock in the database, looks at what the lake
    has, whatever it has published itself. So an older day never takes the place of a newer one, and the files
    named are those of the manifest that is there. Days before the one that is named now are not looked at.
    """
    with warehouse.locked(connection, lake.uri(key(prefix))):
        present = usable(lake, prefix)
        newest = lake.newest(prefix, since=max(day, present.day)) if present else None
        newest = newest or lake.newest(prefix, since=day)
        if newest is None:
            return present
        latest = Latest.of(prefix, *newest, main_file)
        if latest != present:
            lake.write_object(key(prefix), latest.model_dump_json(indent=2).encode())
        return latest


def restore(lake: Lake, connection: extensions.connection, prefix: str, main_file: str) -> None:
    """Let `latest.json` name the newest published day where it is lost, damaged or behind.

    Where it names a later day, that one is lost, and whoever publishes it again completes it.
    """
    named = usable(lake, prefix)
    newest = lake.newest(prefix, since=named.day if named else date.min)
    if newest is not None and not (named and named.names(prefix, *newest)):
        advance(lake, connection, prefix, newest[0], main_file)


def _manifest_key(prefix: str, day: date) -> str:
    return f"{partition(prefix, day)}/{MANIFEST}"


def _damaged(lake: Lake, prefix: str, fault: str) -> str:
    return (
        f"{lake.uri(key(prefix))} does not name the newest day ({fault}): it was changed or damaged after it was "
        "published. Run the DAG maintenance, which has it rebuilt."
    )
