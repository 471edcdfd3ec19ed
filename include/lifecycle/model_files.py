"""Stored estimators: skops files with reproducible bytes and no types but the trusted ones."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import skops.io

from include.lifecycle.registry import UntrustedModelError

SCHEMA = "schema.json"
_EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_IDENTITY = re.compile(r'("__id__": )(\d+)')
_MEMBER = re.compile(r'"file": "([^"]+)"')


def dump(estimator: Any, path: Path, trusted_types: Collection[str]) -> None:
    """Store an estimator so that an equal estimator gives an equal file.

    Raises
    ------
    UntrustedModelError
        If it contains types that skops does not trust and `trusted_types` does not name.
    """
    data = skops.io.dumps(estimator)
    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_types))
    if unknown:
        raise UntrustedModelError(
            f"The fitted {type(estimator).__name__} contains {unknown}, which its spec does not trust; look at "
            "where they come from, and add them to `trusted_types` only if loading them can do no harm."
        )
    path.write_bytes(reproducible(data))


def reproducible(data: bytes) -> bytes:
    """A skops file without its traces of process and clock: memory addresses, random names and times.

    The addresses by which skops tells objects apart become their order of appearance, and so do the names of
    the files in the archive.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = archive.read(SCHEMA).decode()
        members = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    numbers: dict[str, int] = {}
    schema = _IDENTITY.sub(lambda found: f"{found[1]}{numbers.setdefault(found[2], len(numbers))}", schema)
    names: dict[str, str] = {}
    for name in _MEMBER.findall(schema):
        names.setdefault(name, f"{len(names)}{Path(name).suffix}")
    schema = _MEMBER.sub(lambda found: f'"file": {json.dumps(names[found[1]])}', schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, new_name in names.items():
            archive.writestr(zipfile.ZipInfo(new_name, _EARLIEST_ZIP_TIME), members[name])
        archive.writestr(zipfile.ZipInfo(SCHEMA, _EARLIEST_ZIP_TIME), schema)
    return target.getvalue()
