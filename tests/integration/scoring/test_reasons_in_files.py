"""Whoever acts on a row finds why, in the files and in the warehouse; on a real S3 server and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from include.lifecycle.modelling.model_files import UnusableModelError
from include.lifecycle.modelling.reasons import REASONS, UsualValues
from include.lifecycle.promotion import registry
from include.lifecycle.promotion.ab_test import AbTest
from include.lifecycle.scoring import scoring
from include.lifecycle.scoring.prediction_files import PredictionsError, versions_with_reasons
from include.lifecycle.scoring.publishing import publish
from include.lifecycle.scoring.scorers import Challenger, Scorer, load_scorer
from include.lifecycle.scoring.scoring import score
from include.lifecycle.specs import ReasonsSpec
from include.lifecycle.storage.lake import Lake, LocalFile, RunInfo, partition
from include.lifecycle.training.record import RECORD
from tests.damage import DAMAGES, damage
from tests.integration.scoring.people import DAY, LEAVING, Constant, features, predictions, split_between
from tests.specs import changed
from tests.training_records import training_record

TRAINED, OTHERWISE = DAY - timedelta(days=7), "Nothing stands out"
REASONED = changed(
    LEAVING,
    reasons=ReasonsSpec(
        column="will_leave",
        directions={True: 1},
        words={"visits": "-{value:.1f} visits (usual: {usual:.1f})", "plan": "Plan {value}"},
        otherwise=OTHERWISE,
    ),
)
USUAL = {
    "visits": UsualValues(values=(6.0,), shares=(1.0,)),
    "plan": UsualValues(values=("basic", "plus"), shares=(0.75, 0.25)),
}


def keep(lake: Lake, run: RunInfo, scratch: Path, version: int = 3, **changes: Any) -> None:
    """Keep the record of a version's training, as a push does."""
    path = scratch / RECORD
    training_record(**changes).write(path)
    lake.publish(REASONED.reference_prefix(version), TRAINED, [LocalFile(path)], run=run)


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch, lake: Lake, estimator: Any) -> Any:
    """What makes the scorer of version 3, from a registry that has the estimator."""
    monkeypatch.setattr(registry, "load", lambda *_: estimator)
    monkeypatch.setattr(registry, "interval", lambda *_: None)
    return lambda: load_scorer("", lake, REASONED, 3, None)


class Visitor:
    """A classifier by which people with few visits, or the plan plus, leave."""

    def predict_proba(self, matrix: Any) -> Any:
        few, plus = matrix["visits"].fillna(6.0).lt(6.0), matrix["plan"].astype(str).eq("plus")
        probability = (0.5 + 0.2 * few + 0.2 * plus).to_numpy()
        return np.column_stack([1 - probability, probability])


def in_table(connection: Any) -> pl.DataFrame:
    columns = ("dt", "person", "will_leave", *REASONS)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"select {', '.join(columns)} from ml.leaving_predictions order by dt, person")
        return pl.DataFrame(cursor.fetchall(), schema=list(columns), orient="row", infer_schema_length=None)


def test_who_is_acted_on_has_the_same_reasons_in_all_files_and_in_the_table(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, scorer: Any, tmp_path: Path
) -> None:
    keep(lake, run, tmp_path, usual_values=USUAL)
    publish_features()

    score(REASONED, lake, DAY, scorer(), run)
    publish(REASONED, lake, postgres, DAY, run)

    frame = predictions(lake, DAY, tmp_path / "read")
    acted_on = frame["will_leave"]
    assert 0 < acted_on.sum() < frame.height
    assert frame["reason_1"].is_not_null().equals(acted_on)
    assert frame.filter("will_leave")["reason_1"].str.contains("visits|Plan").any()
    assert in_table(postgres).select(REASONS).rows() == frame.sort("person").select(REASONS).rows()
    [path] = lake.download(REASONED.predictions_prefix, DAY, tmp_path / "csv", "predictions.csv")
    in_csv = pl.read_csv(path, infer_schema=False)["reason_1"]
    # A cell that a spreadsheet would run as a formula is a text there.
    expected = frame["reason_1"].str.replace("^-", "'-")
    assert in_csv.to_list() == expected.to_list()
    assert in_csv.str.starts_with("'-").any()


def test_the_usual_values_are_those_of_the_version_and_the_manifest_names_them(
    lake: Lake, run: RunInfo, publish_features: Any, scorer: Any, tmp_path: Path
) -> None:
    keep(lake, run, tmp_path, version=2, usual_values={})
    keep(lake, run, tmp_path, version=3, usual_values=USUAL)
    publish_features()

    staged = score(REASONED, lake, DAY, scorer(), run)

    kept = lake.manifest(REASONED.reference_prefix(3), TRAINED)
    assert scorer().usual == USUAL
    assert staged.inputs[partition(REASONED.reference_prefix(3), TRAINED)] == kept.digest


def test_the_same_features_and_version_give_the_same_bytes(
    lake: Lake, run: RunInfo, publish_features: Any, scorer: Any, tmp_path: Path
) -> None:
    keep(lake, run, tmp_path, usual_values=USUAL)
    publish_features()

    first, again = (score(REASONED, lake, DAY, scorer(), run) for _ in range(2))

    assert first.files == again.files


@pytest.mark.parametrize("kept", ["nothing", "an older record"])
def test_a_version_without_usual_values_scores_with_reasons_of_null(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, scorer: Any, tmp_path: Path, kept: str
) -> None:
    if kept != "nothing":
        keep(lake, run, tmp_path, usual_values={})
    publish_features()

    score(REASONED, lake, DAY, scorer(), run)
    publish(REASONED, lake, postgres, DAY, run)

    frame = predictions(lake, DAY, tmp_path / "read")
    assert frame["will_leave"].any()
    assert frame.select(REASONS).null_count().row(0) == (frame.height,) * 3


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_version_whose_record_is_damaged_scores_nothing_rather_than_without_reasons(
    lake: Lake, run: RunInfo, scorer: Any, tmp_path: Path, kind: str
) -> None:
    keep(lake, run, tmp_path, usual_values=USUAL)
    damage(lake, (REASONED.reference_prefix(3), TRAINED), kind)

    with pytest.raises(UnusableModelError, match=r"What is kept of version 3 of .* cannot be read"):
        scorer()


def test_a_table_of_older_code_gets_the_columns_and_its_days_stay_as_they_are(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, scorer: Any, tmp_path: Path
) -> None:
    publish_features()
    score(LEAVING, lake, DAY, Scorer(Constant(0.75), 1), run)
    publish(LEAVING, lake, postgres, DAY, run)
    keep(lake, run, tmp_path, usual_values=USUAL)
    newer = DAY + timedelta(days=1)
    publish_features(newer)

    score(REASONED, lake, newer, scorer(), run)
    publish(REASONED, lake, postgres, newer, run)

    rows = in_table(postgres)
    before, after = rows.filter(pl.col("dt") == DAY), rows.filter(pl.col("dt") == newer)
    assert (before.height, before["will_leave"].all()) == (40, True)
    assert before.select(REASONS).null_count().row(0) == (40, 40, 40)
    assert after["reason_1"].is_not_null().equals(after["will_leave"])


def test_rows_that_are_acted_on_without_a_reason_are_not_published(
    lake: Lake,
    postgres: Any,
    run: RunInfo,
    publish_features: Any,
    scorer: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(lake, run, tmp_path, usual_values=USUAL)
    publish_features()
    none = dict.fromkeys(REASONS, pl.Series([None] * 40, dtype=pl.String))
    monkeypatch.setattr(scoring, "reasons_of", lambda *_: pl.DataFrame(none))
    score(REASONED, lake, DAY, scorer(), run)

    with pytest.raises(PredictionsError, match=r"\d+ rows that a person acts on lack 'reason_1'"):
        publish(REASONED, lake, postgres, DAY, run)

    assert lake.keys(REASONED.predictions_prefix) == []


@pytest.mark.parametrize("with_reasons", [[1], [2], [1, 2]])
def test_on_a_day_that_is_split_the_reasons_are_of_the_version_that_decides(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any, tmp_path: Path, with_reasons: list[int]
) -> None:
    publish_features()
    usual = {1: {"visits": USUAL["visits"]}, 2: {"plan": USUAL["plan"]}}
    kept = {version: {partition(REASONED.reference_prefix(version), TRAINED): "ab"} for version in with_reasons}
    champion, challenger = (
        Scorer(Visitor(), version, usual=usual[version] if kept.get(version) else {}, inputs=kept.get(version, {}))
        for version in (1, 2)
    )
    test = AbTest(share=0.5, salt="leaving", first_day=DAY, days=1, aim="lower")
    split = split_between(champion, Challenger(test, 2, challenger))

    staged = score(REASONED, lake, DAY, split, run)
    publish(REASONED, lake, postgres, DAY, run)

    assert versions_with_reasons(REASONED, staged) == with_reasons
    frame = predictions(lake, DAY, tmp_path / "read")
    for version, words in ((1, r"visits|Nothing"), (2, r"^Plan|Nothing")):
        said = frame.filter(pl.col("model_version") == version)["reason_1"]
        assert said.len() > 10
        assert said.str.contains(words).all() if version in with_reasons else said.is_null().all()
        assert said.drop_nulls().str.contains("visits|^Plan").any() == (version in with_reasons)


def test_rows_of_a_version_that_gives_reasons_lack_none_on_a_day_that_is_split(
    lake: Lake, postgres: Any, run: RunInfo, publish_features: Any
) -> None:
    publish_features()
    inputs = {partition(REASONED.reference_prefix(2), TRAINED): "ab"}
    test = AbTest(share=0.5, salt="leaving", first_day=DAY, days=1, aim="lower")
    challenger = Challenger(test, 2, Scorer(Constant(0.9), 2, inputs=inputs))
    score(REASONED, lake, DAY, split_between(Scorer(Constant(0.9), 1), challenger), run)

    own = int(test.is_challengers(features().select("person", "place")).sum())
    with pytest.raises(PredictionsError, match=f"{own} rows that a person acts on lack 'reason_1'"):
        publish(REASONED, lake, postgres, DAY, run)
