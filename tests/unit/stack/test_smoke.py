"""The check after a rollout passes on a stack that works, and names what does not."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from include.stack import smoke
from include.stack.errors import StackError

HEALTHY = {name: {"status": "healthy"} for name in smoke.COMPONENTS}
ANSWERS: dict[str, tuple[int, Any]] = {
    "/auth/token": (201, {"access_token": "token"}),
    "/api/v2/monitor/health": (200, HEALTHY),
    "/api/v2/importErrors": (200, {"import_errors": []}),
    "/api/v2/dags": (200, {"dags": [{"dag_id": "churn_scoring"}, {"dag_id": "customers_etl"}]}),
    "/ml/predictions/churn/latest/predictions.csv": (200, "customer_id,score\n1,0.5\n2,0.7\n"),
}
PREDICTIONS = "/ml/predictions/churn/latest/predictions.csv"


def smoke_test(
    changed: Mapping[str, tuple[int, Any]] | None = None, open_to_all: bool = False
) -> tuple[bool, str]:
    """Whether it passes on an Airflow with these answers, and what it says."""
    answers = {**ANSWERS, **(changed or {})}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and not request.headers.get("Authorization") and not open_to_all:
            return httpx.Response(401, text="Not authenticated")
        status, body = answers[request.url.path]
        return httpx.Response(status, **({"text": body} if isinstance(body, str) else {"json": body}))

    said = io.StringIO()
    with httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(answer)) as client:
        passed = smoke.check(client, "admin", "secret", Console(file=said, width=500), patience=0)
    return passed, said.getvalue()


def test_a_stack_that_works_passes_and_its_predictions_are_counted() -> None:
    passed, said = smoke_test()

    assert passed
    assert "2, without import errors" in said
    assert "churn: 2 rows" in said


def test_a_new_stack_owes_no_predictions() -> None:
    passed, said = smoke_test({PREDICTIONS: (404, "none")})

    assert passed
    assert "churn: none yet" in said


@pytest.mark.parametrize(
    ("path", "answer", "named"),
    [
        ("/auth/token", (401, "Wrong password"), "FAILED login: POST http://airflow/auth/token answers 401"),
        (
            "/api/v2/monitor/health",
            (200, HEALTHY | {"scheduler": {"status": "unhealthy"}}),
            "not healthy: scheduler",
        ),
        ("/api/v2/monitor/health", (200, HEALTHY | {"triggerer": None}), "not healthy: triggerer"),
        (
            "/api/v2/importErrors",
            (200, {"import_errors": [{"filename": "etl.py", "stack_trace": "NameError: x\n"}]}),
            "FAILED DAGs: etl.py: NameError: x",
        ),
        ("/api/v2/dags", (200, {"dags": []}), "no DAG yet"),
        (PREDICTIONS, (500, "damaged"), "answers 500: damaged"),
        (PREDICTIONS, (200, "customer_id,score\n"), "has no rows"),
        (PREDICTIONS, (200, "<html>\nlog in\n</html>"), "has no rows"),
    ],
)
def test_what_does_not_work_fails_and_is_named(path: str, answer: tuple[int, Any], named: str) -> None:
    passed, said = smoke_test({path: answer})

    assert not passed
    assert named in said


def test_an_airflow_that_is_open_to_everybody_fails() -> None:
    passed, said = smoke_test(open_to_all=True)

    assert not passed
    assert "answers without a login" in said


def test_the_password_comes_from_the_environment_or_the_secrets_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StackError, match="Set ML_AIRFLOW_PASSWORD"):
        smoke.password_of(tmp_path)
    (tmp_path / "secrets.json").write_text('{"airflow_password": "generated"}')
    assert smoke.password_of(tmp_path) == "generated"
    monkeypatch.setenv("ML_AIRFLOW_PASSWORD", "given")
    assert smoke.password_of(tmp_path) == "given"
