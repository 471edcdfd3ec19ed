"""The card of a version is published again when something becomes of the version."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.storage.lake import Lake, LakeError, LocalFile, RunInfo
from include.models.churn import CHURN
from ml_lifecycle import trainings

AS_OF = date(2026, 3, 1)


@pytest.fixture
def with_card(lake: Lake, run: RunInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake with the card of version 2."""
    page = tmp_path / "index.html"
    page.write_text("Refused.")
    lake.publish(CHURN.card_prefix(2), AS_OF, [LocalFile(page)], run=run)
    monkeypatch.setattr("ml_lifecycle.hooks.lake", lambda: lake)
    return lake


def test_the_card_of_the_training_is_published_again_and_no_version_gets_one_that_has_none(
    with_card: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[Any] = []
    monkeypatch.setattr(trainings, "publish_card", lambda *asked: published.append(asked))

    for version in (1, 2):
        trainings.renew_card(CHURN, version)

    assert published == [(CHURN, AS_OF, 2)]


@pytest.mark.parametrize("error", [LakeError("It is damaged."), UnusableModelError("It is gone.")])
def test_a_card_that_cannot_be_published_undoes_no_decision(
    with_card: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(trainings, "publish_card", fail)

    trainings.renew_card(CHURN, 2)

    assert f"The card of version 2 is as it was: {error}" in caplog.text
