"""`make check-data` says what is wrong with the source's settings, in a sentence."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
import yaml

from include.checks import __main__ as checks
from include.stack.errors import StackError


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (psycopg2.OperationalError("connection refused"), "connection refused. Is the stack running? make start"),
        (StackError("Port 1 is taken."), "Port 1 is taken."),
        (yaml.YAMLError("line 3"), "airflow_settings.yaml does not have what is looked for (YAMLError: line 3)."),
        (KeyError("airflow"), "(KeyError: 'airflow')"),
        (TypeError("not a mapping"), "(TypeError: not a mapping)"),
        (ValueError("`path` is missing"), "source: `path` is missing."),
    ],
)
def test_a_source_that_cannot_be_made_is_named(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(dataset: Any) -> Any:
        raise error

    monkeypatch.setattr(checks, "_source", fail)
    monkeypatch.setattr("logging.disable", lambda level: None)

    assert checks.main(["market"]) == 1
    assert sentence in " ".join(capsys.readouterr().out.split())
