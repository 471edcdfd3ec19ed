"""Stored estimators: skops files with reproducible bytes and no types but the trusted ones.

The exporter imports this module and must stay small, so skops is imported where it is used.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = "schema.json"
REMEDY = "Restore it, or train again: the gate compares no candidate with a champion that cannot be used."
_EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_IDENTITY = re.compile(r'("__id__": )(\d+)')
_MEMBER = re.compile(r'"file": "([^"]+)"')


class UnusableModelError(ValueError):
    """A version cannot be used: it is gone, its file is missing or damaged, or is not the one that was trained."""


class UntrustedModelError(UnusableModelError):
    """A stored model contains types that its spec does not list as trusted."""


def dump(estimator: Any, path: Path, trusted_types: Collection[str]) -> None:
    """Store an estimator so that an equal estimator gives an equal file.

    Raises
    ------
    UntrustedModelError
        If it contains types that skops does not trust and `trusted_types` does not name.
    """
    import skops.io

    data = skops.io.dumps(estimator)
    unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted_types))
    if unknown:
        raise UntrustedModelError(
            f"The fitted {type(estimator).__name__} contains {unknown}, which its spec does not trust; look at "
            "where they come from, and add them to `trusted_types` only if loading them can do no harm."
        )
    path.write_bytes(reproducible(data))


def load_trusted(file: Path, trusted_types: Iterable[str], title: str) -> Any:
    """The estimator in a skops file; `title` names it in the error.

    Raises
    ------
    UnusableModelError
        If the file is no whole skops file.
    UntrustedModelError
        If the file contains a type that is not in `trusted_types`.
    """
    import skops.io

    refuse_damage(file, title)
    trusted = set(trusted_types)
    with _explained_damage(title):
        untrusted = set(skops.io.get_untrusted_types(file=file)) - trusted
    if untrusted:
        raise UntrustedModelError(
            f"The model file of {title} contains {sorted(untrusted)}, which the model's spec does not trust, so "
            "it was not loaded. Add the type to `trusted_types` only if you know who made the file."
        )
    with _explained_damage(title):
        return skops.io.load(file, trusted=sorted(trusted))


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


def refuse_damage(file: Path, title: str) -> None:
    """Check that a file is a whole skops archive; `title` names it in the error.

    Raises
    ------
    UnusableModelError
        If it is anything else.
    """
    with file.open("rb") as content:
        start = content.read(2)
    if not start:
        damage = "is empty"
    elif start.startswith(b"\x80"):
        damage = "is a pickle, which is never loaded because it may run any code"
    elif (names := _zip_names(file)) is None:
        damage = "is damaged or truncated, or no skops file"
    elif SCHEMA not in names:
        damage = f"is a zip archive without {SCHEMA}, so no skops file"
    else:
        return
    raise UnusableModelError(f"The model file of {title} {damage}. {REMEDY}")


def _zip_names(file: Path) -> list[str] | None:
    """The names in a zip archive; None where it is none, or damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # what zipfile makes of a wrong directory
        return None


@contextmanager
def _explained_damage(title: str) -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # skops raises whatever a wrong schema leads to.
        raise UnusableModelError(
            f"The model file of {title} cannot be read ({type(error).__name__}: {error}). {REMEDY}"
        ) from error
