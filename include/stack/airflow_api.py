"""A small client of Airflow's REST API (version 2)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Self, cast

import httpx

from include.stack.errors import StackError
from include.stack.services import ADMIN_NAME, Services

PAGE_SIZE = 100


class AirflowApi:
    """Airflow as its web pages' login sees it."""

    def __init__(self, services: Services) -> None:
        self._client = httpx.Client(
            base_url=services.airflow_url,
            timeout=120,
            trust_env=False,
            transport=httpx.HTTPTransport(retries=5),  # the API server may be restarting
        )
        login = {"username": ADMIN_NAME, "password": services.secrets.airflow_password}
        token = self._request("POST", "/auth/token", json=login)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the answer to a GET of ``/api/v2<path>``.

        Raises
        ------
        StackError
            If Airflow refuses, or does not answer.
        """
        return self._request("GET", f"/api/v2{path}", params=query)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a POST of ``/api/v2<path>``; raises like ``get``."""
        return self._request("POST", f"/api/v2{path}", json=body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a PATCH of ``/api/v2<path>``; raises like ``get``."""
        return self._request("PATCH", f"/api/v2{path}", json=body)

    def dag_ids(self) -> set[str]:
        """Return the ids of the DAGs that Airflow has read."""
        return {dag["dag_id"] for dag in self.get("/dags", limit=PAGE_SIZE)["dags"]}

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that Airflow could not read (filename, stack_trace)."""
        return cast(list[dict[str, Any]], self.get("/importErrors", limit=PAGE_SIZE)["import_errors"])

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self.patch(f"/dags/{dag_id}", {"is_paused": False})

    def due_run(self, dag_id: str) -> str | None:
        """Return the time (ISO 8601) of the run that Airflow makes next by itself, if it is due."""
        due = self.get(f"/dags/{dag_id}")["next_dagrun_run_after"]
        return due if due and datetime.fromisoformat(due) <= datetime.now(UTC) else None

    def trigger(self, dag_id: str, form: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG, with the fields of its form that are given, and return the run's id."""
        body = {"logical_date": None, "conf": dict(form or {})}
        return str(self.post(f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: queued, running, success or failed."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the latest runs of a DAG, the newest first."""
        found = self.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=PAGE_SIZE)
        return cast(list[dict[str, Any]], found["dag_runs"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return every task instance of a run (task_id, map_index, state, try_number, …)."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return self._all(path, "task_instances", order_by="id")

    def variables(self) -> list[dict[str, Any]]:
        """Return every variable (key, value, description)."""
        return self._all("/variables", "variables", order_by="key")

    def log_lines(self, instance: dict[str, Any], last: int = 15) -> list[str]:
        """Return the last lines of the log of a task instance's last try."""
        path = f"/dags/{instance['dag_id']}/dagRuns/{instance['dag_run_id']}/taskInstances/{instance['task_id']}"
        query = {"map_index": instance["map_index"], "full_content": True}
        content = self.get(f"{path}/logs/{instance['try_number']}", **query)["content"]
        return [line for entry in content for line in readable(entry)][-last:]

    def _all(self, path: str, kind: str, order_by: str) -> list[dict[str, Any]]:
        """Return the entities of all pages of a list."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=PAGE_SIZE, offset=len(found), order_by=order_by)
            found += page[kind]
            if len(found) >= page["total_entries"] or not page[kind]:
                return found

    def _request(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **content)
        except httpx.TransportError as error:
            raise StackError(
                f"Airflow does not answer {method} {self._client.base_url}{path} ({error}): "
                "`make status` shows what runs and `make logs` why; `make run` continues from here."
            ) from error
        if response.is_error:
            raise StackError(f"Airflow refuses {method} {path}: {response.status_code} {response.text[:500]}")
        return cast(dict[str, Any], response.json())


def readable(entry: dict[str, Any]) -> Iterator[str]:
    """Yield what a log entry says and the exceptions it carries, but no marks that fold the log in the page."""
    if not entry["event"].startswith("::"):
        yield entry["event"]
    for error in entry.get("error_detail") or ():
        frames = error["frames"]
        place = f" ({frames[-1]['filename']}, line {frames[-1]['lineno']})" if frames else ""
        yield f"{error['exc_type']}: {error['exc_value']}{place}"
