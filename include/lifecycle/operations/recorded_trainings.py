"""The trainings whose record the lake still has, so that they can be repeated."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import Any

from pydantic import ValidationError

from include.lifecycle.operations.maintenance_policy import VERSION, Training
from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, partition, partition_of
from include.lifecycle.training.record import TrainingRecord

log = logging.getLogger(__name__)

_RECORD = re.compile(r"(training|card)-(?P<hash>[0-9a-f]{16})\.json")


def recorded_trainings(lake: Lake, models: Iterable[ModelSpec]) -> Iterator[Training]:
    """The trainings whose record can still be read, from what is staged and what is kept of versions."""
    for model in models:
        kept = [
            (key, int(found[1]))
            for prefix in (f"references/{model.name}/", f"{model.report_prefix('model_card')}/")
            for key in lake.keys(prefix)
            if (place := partition_of(key)) and (found := VERSION.search(place.prefix))
        ]
        kept.sort(key=lambda item: item[1])
        staged = [(record, None) for record in _staged_records(lake, model, [key for key, _ in kept])]
        for record, version in [*staged, *((_record(lake, key), version) for key, version in kept)]:
            if record is not None:
                yield Training(
                    model=model.name,
                    as_of=record.as_of,
                    version=version,
                    seed=record.seed,
                    trials=record.trials_budget,
                    reason=record.reason,
                    code_version=record.code_version,
                    data=frozenset(record.data),
                )


def _staged_records(lake: Lake, model: ModelSpec, kept: Sequence[str]) -> Iterator[TrainingRecord]:
    """The record of what is staged, one for each day.

    Another training of the day leaves its files beside it. It is the record that the manifest names, or a copy of
    it among `kept`. Where the manifest cannot be read, it is the one written last: a training that replaces
    another writes all of its files.
    """
    records: dict[date, list[Any]] = defaultdict(list)
    for item in lake.objects(f"{model.staging_prefix}/dt="):
        place = partition_of(item["Key"])
        if place is not None and _RECORD.fullmatch(place.name):
            records[place.day].append(item)
    for day in sorted({*lake.days(model.staging_prefix), *records}):
        manifest = lake.usable_manifest(model.staging_prefix, day)
        if manifest is None:
            newest_first = sorted(records[day], key=lambda item: item["LastModified"], reverse=True)
            candidates = [item["Key"] for item in newest_first]
        else:
            named = [file.name for file in manifest.files if _RECORD.fullmatch(file.name)]
            own = [f"{partition(model.staging_prefix, day)}/{name}" for name in named]
            candidates = [*own, *(key for key in kept if key.rsplit("/", 1)[-1] in named)]
        readable = (record for key in candidates if (record := _record(lake, key)) is not None)
        yield from islice(readable, 1)


def _record(lake: Lake, key: str) -> TrainingRecord | None:
    """The record of a training in `training.json` or `card.json`, if the bytes are those its name promises."""
    name = _RECORD.fullmatch(key.rsplit("/", 1)[-1])
    body = lake.read_object(key) if name else None
    if name is None or body is None or hashlib.sha256(body).hexdigest()[:16] != name["hash"]:
        return None
    content = json.loads(body)
    try:
        return TrainingRecord.model_validate(content.get("training", content))
    except ValidationError as error:
        log.warning("%s is no record of a training that can be repeated: %s", lake.uri(key), error)
        return None
