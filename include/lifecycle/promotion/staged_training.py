"""A training that is staged on the lake, and what is kept of it once it is a registered version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from include.lifecycle.specs import ModelSpec
from include.lifecycle.storage.lake import Lake, LocalFile, Pinned, RunInfo
from include.lifecycle.training.record import BASELINE, HOLDOUT, MODEL_FILE, RECORD

Role = Literal["candidate", "baseline"]
"""Which of the two models of a training a version is."""

ROLE_FILES: dict[Role, str] = {"candidate": MODEL_FILE, "baseline": BASELINE}


@dataclass(frozen=True)
class StagedTraining:
    """The training of a model as of a day, by the digest of its manifest: a later one of the day replaces it.

    `is_refit` tells one whose champion was fitted on the holdout as well.
    """

    model: ModelSpec
    as_of: date
    digest: str
    is_refit: bool = False

    @property
    def prefix(self) -> str:
        """Where it is staged."""
        return self.model.staged_refit_prefix if self.is_refit else self.model.staging_prefix

    def pin(self, lake: Lake) -> PinnedTraining:
        """Its files as they are now, whatever replaces them later.

        Raises
        ------
        ValueError
            If another training has replaced it.
        """
        pinned = lake.pin(self.prefix, [self.as_of])
        digest = pinned.manifests[self.as_of].digest
        if digest != self.digest:
            raise ValueError(
                f"The training staged for {self.model.name!r} as of {self.as_of} is {digest}, not {self.digest}: "
                "a later training replaced it. Push that one, or train again."
            )
        return PinnedTraining(self.model, self.as_of, pinned)


@dataclass(frozen=True)
class PinnedTraining:
    """The files of a staged training, by a manifest that was read once."""

    model: ModelSpec
    as_of: date
    pinned: Pinned

    def download(self, folder: Path) -> dict[str, Path]:
        """Write the files to a folder; returns them by name."""
        names = [file.plain_name for file in self.pinned.manifests[self.as_of].files]
        paths = self.pinned.download(self.as_of, folder)
        return {name: path.rename(folder / name) for name, path in zip(names, paths, strict=True)}

    def model_digest(self, role: Role) -> str:
        """The SHA-256 of the file of the candidate or of the baseline."""
        return self.pinned.manifests[self.as_of].file(ROLE_FILES[role]).sha256


def keep_reference(lake: Lake, training: PinnedTraining, version: int, run: RunInfo) -> None:
    """Keep what a version's card and monitoring need: another training of the day replaces what is staged."""
    prefix = training.model.reference_prefix(version)
    if lake.intact(prefix, training.as_of):
        return
    with TemporaryDirectory() as folder:
        files = training.download(Path(folder))
        kept = [LocalFile(files[name]) for name in (HOLDOUT, BASELINE, RECORD)]
        lake.publish(prefix, training.as_of, kept, run=run, inputs=training.pinned.inputs)
