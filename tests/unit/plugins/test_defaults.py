"""What is kept of a failed task."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ml_lifecycle import defaults, hooks
from ml_lifecycle.run_notes import CAUSE_KEY


def test_the_cause_of_a_failure_is_kept_as_text_that_the_database_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    left: dict[str, str] = {}
    instance = SimpleNamespace(dag_id="customers_etl", task_id="extract", xcom_push=left.__setitem__)
    monkeypatch.setattr(defaults, "_links", lambda context: {})
    monkeypatch.setattr(hooks, "notify", lambda notification: None)

    defaults.notify_of_failure({"task_instance": instance, "exception": ValueError("line 1\n has \0 and \udcff.")})

    assert left == {CAUSE_KEY: r"line 1 has \x00 and \udcff."}
