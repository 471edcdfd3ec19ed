"""Files and folders that a source's settings name."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


def existing(path: Path) -> Path:
    """The path, where there is something.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    """
    if not path.exists():
        raise FileNotFoundError(f"The source {path} does not exist; correct `path` in the source's settings.")
    return path


def check_is_regular(path: Path) -> None:
    """Refuse what cannot be read as a file; a pipe would be waited for without end.

    Raises
    ------
    ValueError
        If it is no regular file.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} is no regular file, but a folder, a pipe, a socket or a link that leads nowhere; put a file "
            "in its place."
        )


def warn_of_ignored(folder: Path, entries: Sequence[Path], what: str) -> None:
    """Say in the log which entries of a folder are ignored, and that they are no such thing."""
    if entries:
        log.warning("%s: %s: %s, so ignored.", folder, ", ".join(entry.name for entry in entries), what)
