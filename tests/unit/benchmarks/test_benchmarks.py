"""`make bench` ends with all limits in one table and one file, and fails where one is not met."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import executors
from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio
from include.stack.settings import StackSettings


@pytest.mark.parametrize(
    ("ratio", "met"),
    [
        (Ratio("times longer", 1.2, 1.2), True),
        (Ratio("times longer", 1.21, 1.2), False),
        (Ratio("times faster", 5, 5, at_least=True), True),
        (Ratio("times faster", 4.9, 5, at_least=True), False),
        (Ratio("broke off", math.nan, 0), False),
        (Ratio("broke off", math.nan, 0, at_least=True), False),
    ],
)
def test_a_limit_is_met_up_to_and_with_itself(ratio: Ratio, met: bool) -> None:
    assert ratio.met is met


def test_what_is_measured_starts_in_a_process_that_has_done_nothing_else() -> None:
    assert in_a_new_process(os.getpid) != os.getpid()


def test_all_ratios_are_listed_with_their_limits_and_also_written_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MARKET_SESSIONS", "100")
    results = tmp_path / "results.json"

    status = bench.main(["market_features", "--share", "0.01", "--json", str(results)])

    written = json.loads(results.read_text())
    assert [row["name"] for row in written] == [
        "times faster than pandas",
        "largest difference from pandas",
        "peak memory, GB",
    ]
    assert [row["met"] for row in written][1:] == [True, True]
    assert status == (0 if written[0]["met"] else 1)
    printed = capsys.readouterr().out
    assert "All limits" in printed
    assert "at least 5" in printed


def test_a_benchmark_that_breaks_off_is_a_limit_not_met_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(_: Callable[..., object], name: str, share: float) -> list[Ratio]:
        if name == "drift":
            raise RuntimeError("The disk is full.")
        return [Ratio("fine", 1, 2)]

    monkeypatch.setattr(bench, "in_a_new_process", measured)
    results = tmp_path / "results.json"

    assert bench.main(["drift", "scoring", "--json", str(results)]) == 1
    assert [(row["benchmark"], row["measured"], row["met"]) for row in json.loads(results.read_text())] == [
        ("drift", None, False),
        ("scoring", 1, True),
    ]
    assert bench.main(["scoring", "--json", str(results)]) == 0


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["speed"])
    assert "No benchmark is called speed; there are dag_files" in " ".join(capsys.readouterr().err.split())


def test_executors_are_compared_round_by_round() -> None:
    seconds = {executors.LOCAL: [10.0, 20.0, 10.0], executors.CELERY: [11.0, 21.0, 30.0]}

    assert executors.ratios(seconds) == {executors.LOCAL: 1.0, executors.CELERY: 1.1}


def test_celery_is_measured_with_the_options_of_the_server(tmp_path: Path) -> None:
    sides = executors.variants(StackSettings(state_dir=tmp_path), "redis://127.0.0.1")

    celery, local = sides[executors.CELERY].airflow_environment(), sides[executors.LOCAL].airflow_environment()

    assert celery["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"
    assert celery[executors.REST] == executors.server_options()[executors.REST] != local[executors.REST]
    assert not [value for value in celery.values() if '"' in value]
    assert int(local["AIRFLOW__CORE__PARALLELISM"]) == executors.WORKERS * executors.PROCESSES
