"""Features have a version: that of the code and the settings which made them."""

from __future__ import annotations

import importlib
import itertools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from include.lifecycle.deferred import Deferred
from include.lifecycle.ingestion.feature_version import (
    FeaturesNotRenewedError,
    feature_version,
    other_versions,
    present_feature_days,
    renewed_feature_days,
)
from include.lifecycle.ingestion.features import build_features, features_to_build
from include.lifecycle.ingestion.source_digest import source_digest
from include.lifecycle.specs import DatasetSpec
from tests.requests_made import requests_made
from tests.unit.lifecycle.ingestion.shops import D1, D2, D3, D4, D5, GOOD, SHOPS, SOURCE, Shops, World, run_etl

CODE = '''
"""Features of shops."""
from {package}.windows import WINDOW

def make(days, tables):
    """Features."""
    return WINDOW  # days
'''
WINDOWS = "WINDOW = 7\n"

NUMBERS = itertools.count()
"""Of the packages that the tests write: a digest is remembered by the name of its module."""

Project = Callable[..., Callable[..., Any]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Writes a package of its own with the modules `features` and `windows`, and gives its `features.make`."""
    monkeypatch.syspath_prepend(tmp_path)
    packages: list[str] = []

    def write(features: str = CODE, windows: str = WINDOWS) -> Callable[..., Any]:
        package = f"project_{next(NUMBERS)}"
        packages.append(package)
        (tmp_path / package).mkdir()
        for name, text in {"__init__": "", "features": features, "windows": windows}.items():
            # The modules import each other by names that differ: as if the package had been moved.
            (tmp_path / package / f"{name}.py").write_text(text.replace("{package}", package))
        make: Callable[..., Any] = importlib.import_module(f"{package}.features").make
        return make

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


def test_the_digest_is_that_of_what_the_code_says(project: Project) -> None:
    one = source_digest(project())
    package_free = CODE.replace("from {package}.windows import WINDOW", "WINDOW = 7")

    laid_out = package_free.replace("# days", "# of days, as ever").replace('"""Features."""', '"""All."""\n')
    changed = package_free.replace("return WINDOW", "return WINDOW + 1")

    assert source_digest(project(package_free)) == source_digest(project(laid_out))
    assert source_digest(project(package_free)) != source_digest(project(changed))
    assert one != source_digest(project(windows="WINDOW = 8\n"))


def test_a_deferred_function_has_the_digest_of_its_module(project: Project) -> None:
    make = project()

    assert source_digest(Deferred(f"{make.__module__}:make")) == source_digest(make)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"column": "price"}, {"column": "cost"}, id="text"),
        pytest.param({"since": date(2026, 1, 1)}, {"since": date(2026, 1, 2)}, id="day"),
        pytest.param({"event": pl.col("x") > 1}, {"event": pl.col("x") > 2}, id="expression"),
        pytest.param(
            {"event": pl.col("x").is_in([*range(50), 50, *range(50)])},
            {"event": pl.col("x").is_in([*range(50), 51, *range(50)])},
            id="long expression",
        ),
    ],
)
def test_the_arguments_of_a_function_count(project: Project, one: dict[str, Any], other: dict[str, Any]) -> None:
    make = project()

    digests = {source_digest(partial(make, **given)) for given in (one, dict(one), other, {})}

    assert len(digests) == 3
    assert source_digest(partial(partial(make, 1), **one)) != source_digest(partial(make, **one))


def test_the_code_of_a_function_that_is_an_argument_counts(project: Project) -> None:
    package_free = CODE.replace("from {package}.windows import WINDOW", "WINDOW = 7")
    make, same, changed = (project(text) for text in (package_free, package_free, CODE))

    assert source_digest(partial(make, same)) == source_digest(partial(make, make))
    assert source_digest(partial(make, changed)) != source_digest(partial(make, make))


def test_code_that_is_in_no_file_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="source of the module 'builtins' cannot be read"):
        source_digest(len)


def test_how_far_back_features_look_belongs_to_their_version() -> None:
    farther = SHOPS.model_copy(update={"history_days": {"sales": 3, "opinions": 0}})

    assert feature_version(SHOPS) != feature_version(farther)


def _doubled(days: Sequence[date], tables: Mapping[str, pl.LazyFrame]) -> Iterator[tuple[date, pl.DataFrame]]:
    for day, frame in SHOPS.features(days, tables):
        yield day, frame.with_columns(total=pl.col("total") * 2)


@pytest.fixture
def changed() -> DatasetSpec:
    """The shops, whose features other code makes."""
    return SHOPS.model_copy(update={"features": _doubled})


def test_changed_code_renews_all_features_and_nothing_else(world: World, changed: DatasetSpec) -> None:
    run_etl(world, SOURCE, [D1, D2, D3, D4])
    before = {key: world.lake.read_object(key) for key in world.lake.keys("") if not key.startswith("features/")}

    wanted = features_to_build(changed, world.lake, [], D5)
    build_features(changed, world.lake, wanted.days, world.run)

    assert (wanted.validated, wanted.changed, wanted.renewed) == ((), (), (D1, D2, D3, D4))
    assert world.features(D4)["total"] == 6
    after = {key: world.lake.read_object(key) for key in before}
    assert {key for key in before if before[key] != after[key]} == {"plans/shops/feature_version.json"}
    assert features_to_build(changed, world.lake, [], D5).days == []


def test_the_plan_says_how_many_days_are_renewed_and_why(
    world: World, changed: DatasetSpec, caplog: pytest.LogCaptureFixture
) -> None:
    run_etl(world, SOURCE, [D1, D2, D3])

    with caplog.at_level(logging.INFO):
        wanted = features_to_build(changed, world.lake, [D3], D5)

    why = f"renewed by code version {feature_version(changed)[:8]}"
    assert f"Features of 2 days of shops, 2026-03-01 to 2026-03-02: {why}." in caplog.text
    assert wanted.chunks(1) == [("validated", [D3]), (why, [D1]), (why, [D2])]


def test_features_of_the_first_releases_which_have_no_version_are_renewed_once(world: World) -> None:
    world.clean(D1, 1)
    [built] = world.build(D1)
    old = built.model_copy(
        update={"inputs": {path: of for path, of in built.inputs.items() if "code" not in path}}
    )
    world.lake.write_object(f"features/shops/dt={D1}/manifest.json", old.model_dump_json().encode())

    assert features_to_build(SHOPS, world.lake, [], D5).renewed == (D1,)
    assert world.build(D1) == [built]
    assert features_to_build(SHOPS, world.lake, [], D5).days == []


def test_an_unchanged_version_costs_one_request(world: World) -> None:
    run_etl(world, SOURCE, [D1, D2, D3, D4])
    features_to_build(SHOPS, world.lake, [], D5)

    with requests_made(world.lake) as made:
        assert other_versions(SHOPS, world.lake) == []

    assert [path.rpartition("/")[2] for _, path in made] == ["feature_version.json"]


def test_a_day_that_is_renewed_counts_at_once_and_the_others_wait(world: World, changed: DatasetSpec) -> None:
    run_etl(world, SOURCE, [D1, D2, D3])
    assert present_feature_days(changed, world.lake) == []

    features_to_build(changed, world.lake, [], D5)
    build_features(changed, world.lake, [D2], world.run)

    assert present_feature_days(changed, world.lake) == [D2]
    assert present_feature_days(changed, world.lake, since=D3) == []
    assert present_feature_days(SHOPS, world.lake) == [D1, D3]
    assert features_to_build(changed, world.lake, [], D5).renewed == (D1, D3)


def test_a_history_counts_as_renewed_once_its_newest_day_is(world: World, changed: DatasetSpec) -> None:
    run_etl(world, SOURCE, [D1, D2, D3])
    features_to_build(changed, world.lake, [], D5)

    build_features(changed, world.lake, [D1, D2], world.run)
    with pytest.raises(FeaturesNotRenewedError, match=f"1 days of shops, {D3} the newest"):
        renewed_feature_days(changed, world.lake)

    build_features(changed, world.lake, [D3], world.run)
    assert renewed_feature_days(changed, world.lake) == [D1, D2, D3]


def test_features_whose_clean_tables_are_gone_stay_and_stop_no_renewal(world: World, changed: DatasetSpec) -> None:
    run_etl(world, Shops({D1: GOOD, D5: GOOD}), [D1, D5])
    world.lake.client.delete_object(Bucket=world.lake.bucket, Key=f"{SHOPS.clean('sales')}/dt={D1}/manifest.json")

    for _ in range(2):
        assert features_to_build(changed, world.lake, [], D5).renewed == (D5,)

    assert world.lake.has_manifest(SHOPS.features_prefix, D1)
