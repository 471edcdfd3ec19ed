"""A day costs what a day costs: the requests of a day's ETL do not grow with the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.lifecycle.ingestion.extraction import extract
from include.lifecycle.ingestion.features import build_features, features_to_build
from include.lifecycle.ingestion.planning import plan
from include.lifecycle.ingestion.records import ValidatedDays
from include.lifecycle.ingestion.validation import validate_chunks
from include.lifecycle.specs import Source
from include.lifecycle.storage.lake import MANIFEST, Lake, RunInfo, partition
from tests.requests_made import requests_made
from tests.unit.lifecycle.ingestion.shops import SHOPS, Shops, new_lake

LAST = date(2026, 3, 1)
EVERY = timedelta(days=30)
DATASET = SHOPS.model_copy(update={"history_days": {"sales": 90, "opinions": 0}, "revisit_days": 2})
PREFIXES = (DATASET.raw("sales"), DATASET.clean("sales"), DATASET.validation_prefix, DATASET.features_prefix)

Request = tuple[str, str]


@dataclass(frozen=True)
class Etl:
    """The steps of the ETL's DAG, and the requests that each makes."""

    lake: Lake
    source: Source
    run: RunInfo

    def of(self, until: date) -> dict[str, list[Request]]:
        """Bring in the days until `until`."""
        made: dict[str, list[Request]] = {}

        def step(name: str, work: Callable[[], Any]) -> Any:
            with requests_made(self.lake) as made[name]:
                return work()

        lake, run = self.lake, self.run
        days = step("find_days", lambda: plan(DATASET, lake, self.source, None, until))
        extracted = step("extract", lambda: extract(DATASET, lake, self.source, days, run))
        verdicts = step("validate", lambda: validate_chunks(DATASET, lake, [extracted], run))
        accepted = ValidatedDays.of(verdicts).accepted
        wanted = step("find_features", lambda: features_to_build(DATASET, lake, accepted, until).days)
        step("build_features", lambda: build_features(DATASET, lake, wanted, run))
        return made


@contextmanager
def _short_listings(lake: Lake) -> Iterator[None]:
    """Ten objects on a page, so that a long listing is many requests."""

    def shorten(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return params | {"MaxKeys": 10}

    lake.client.meta.events.register("provide-client-params.s3.ListObjectsV2", shorten)
    try:
        yield
    finally:
        lake.client.meta.events.unregister("provide-client-params.s3.ListObjectsV2", shorten)


def _lengthen(lake: Lake, model: date, days: Sequence[date]) -> None:
    """Give the lake what the ETL made of one day for other days as well."""
    for prefix in PREFIXES:
        copied = {key: lake.read_object(key) or b"" for key in lake.keys(f"{partition(prefix, model)}/")}
        bodies = [(key.replace(str(model), str(day)), body) for day in days for key, body in copied.items()]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pair: lake.write_object(*pair), bodies))


def _requests_of_a_day(lake: Lake, run: RunInfo, history: int) -> dict[str, list[Request]]:
    """The requests of a new day's ETL that follows so many days of history."""
    days = [LAST - EVERY * back for back in range(history, -1, -1)]
    etl = Etl(lake, Shops(dict.fromkeys(days, "shop,amount\nnorth,1\n")), run)
    first = days[-20]
    only_first = Shops({first: "shop,amount\nnorth,1\n"})
    Etl(lake, only_first, run).of(first)
    _lengthen(lake, first, days[:-20])
    etl.of(days[-2])
    with _short_listings(lake):
        return etl.of(days[-1])


@pytest.fixture(scope="module")
def requests(s3_client: Any) -> dict[int, dict[str, list[Request]]]:
    """By days of history, the requests of each step."""
    run = RunInfo("run", datetime(2026, 3, 2, tzinfo=UTC), "test")
    return {history: _requests_of_a_day(new_lake(s3_client), run, history) for history in (25, 250)}


def test_ten_times_the_history_is_not_one_request_more(requests: dict[int, dict[str, list[Request]]]) -> None:
    counts = {
        history: {step: Counter(name for name, _ in made) for step, made in steps.items()}
        for history, steps in requests.items()
    }

    assert counts[250] == counts[25]


def test_no_step_reads_a_manifest_twice(requests: dict[int, dict[str, list[Request]]]) -> None:
    reads = Counter(
        (step, path)
        for step, made in requests[25].items()
        for name, path in made
        if name == "GetObject" and path.endswith(MANIFEST)
    )

    assert {step for step, _ in reads} >= {"find_days", "extract", "validate", "build_features"}
    assert set(reads.values()) == {1}, reads.most_common(3)
