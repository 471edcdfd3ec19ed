"""A folder with a file, or a folder of files, for each day."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from include.lifecycle.specs import Extracted
from include.sources.files import check_is_regular, warn_of_ignored

SUFFIX = ".csv"


@dataclass(frozen=True)
class DayFilesSource:
    """Files `<folder>/<YYYY-MM-DD>/<table>.csv` or, of a dataset with one table, `<folder>/<YYYY-MM-DD>.csv`.

    Anything else is named in the log and ignored.
    """

    folder: Path
    tables: tuple[str, ...]
    max_lag_days: int | None

    def days(self) -> list[date]:
        """Days that have a folder or a file."""
        found = {entry: self._day_of(entry) for entry in sorted(self.folder.iterdir())}
        unknown = [entry for entry, day in found.items() if day is None]
        warn_of_ignored(self.folder, unknown, "no day (YYYY-MM-DD)")
        return sorted({day for day in found.values() if day is not None})

    def faults(self) -> list[str]:
        """None: it gives what it has."""
        return []

    def extract(self, table: str, day: date, file: Path) -> Extracted | None:
        """Copy the day's file of the table, if there is one.

        Raises
        ------
        ValueError
            If the day has both a file and a folder, or something else stands in the file's place.
        """
        found = self._files_of(day, is_first=table == self.tables[0])
        if table not in found:
            return None
        check_is_regular(found[table])
        shutil.copyfile(found[table], file)
        return Extracted()

    def _files_of(self, day: date, *, is_first: bool) -> Mapping[str, Path]:
        folder, alone = self.folder / day.isoformat(), self.folder / f"{day}{SUFFIX}"
        files = {table: folder / f"{table}{SUFFIX}" for table in self.tables}
        if not folder.is_dir():
            files = {self.tables[0]: alone}
        elif len(self.tables) == 1 and alone.exists():
            raise ValueError(f"{folder} and {alone} are both of {day}; remove one of them.")
        elif is_first:  # once a day
            unknown = [entry for entry in sorted(folder.iterdir()) if entry not in files.values()]
            warn_of_ignored(folder, unknown, "no table")
        return {table: file for table, file in files.items() if file.exists() or file.is_symlink()}

    def _day_of(self, entry: Path) -> date | None:
        """The day of an entry; None for anything else, e.g. `backup`, `.DS_Store` or `2026-13-45`."""
        is_folder = _is_folder(entry)
        if not is_folder and len(self.tables) > 1:
            return None
        name = entry.name if is_folder else entry.name.removesuffix(SUFFIX)
        if not is_folder and name == entry.name:
            return None
        try:
            day = date.fromisoformat(name)
        except ValueError:
            return None
        return day if day.isoformat() == name else None


def _is_folder(entry: Path) -> bool:
    """Whether an entry is a folder; a link that cannot be followed is none, and a fault of its day alone."""
    try:
        return entry.is_dir()
    except OSError:
        return False
