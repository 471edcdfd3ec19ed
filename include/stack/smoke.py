"""``python -m include.stack.smoke [URL]``: whether a stack that was just rolled out works, seen from outside.

It asks Airflow at the address, as a browser does, so it is the same for one server and for Kubernetes. It needs
`httpx` and `rich` alone of Python's packages, and changes nothing. Without a URL it asks this machine's server.
The password is in the variable ML_AIRFLOW_PASSWORD; where that is not set, in the secrets file.
"""

import argparse
import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from include.stack.compose import PAGES, Deployment
from include.stack.errors import StackError
from include.stack.server import SECRETS_FILE
from include.stack.services import ADMIN_NAME

PATIENCE_SECONDS = 120
POLL_SECONDS = 2.0
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
SCORING = "_scoring"


def components(client: httpx.Client) -> str:
    """Check that each part of Airflow is healthy."""
    health = _ask(client, "/api/v2/monitor/health")
    ill = [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]
    if ill:
        raise StackError(f"not healthy: {', '.join(ill)}")
    return "all healthy"


def dags(client: httpx.Client) -> str:
    """Check that Airflow has read DAGs, and every file of them."""
    broken = _ask(client, "/api/v2/importErrors")["import_errors"]
    if broken:
        raise StackError("\n".join(f"{each['filename']}: {each['stack_trace'].strip()}" for each in broken))
    found = _dag_ids(client)
    if not found:
        raise StackError("Airflow has read no DAG yet")
    return f"{len(found)}, without import errors"


def predictions(client: httpx.Client) -> str:
    """Check that the newest prediction file of each model, where there is one, can be read and has rows."""
    said = []
    for model in sorted(name.removesuffix(SCORING) for name in _dag_ids(client) if name.endswith(SCORING)):
        answer = client.get(f"/ml/predictions/{model}/latest/predictions.csv", follow_redirects=True)
        if answer.status_code == httpx.codes.NOT_FOUND:
            said.append(f"{model}: none yet")
            continue
        _refuse_error(answer)
        rows = len(answer.text.splitlines()) - 1
        if rows < 1 or "," not in answer.text:
            raise StackError(f"{answer.url} has no rows: it begins with {answer.text[:100]!r}")
        said.append(f"{model}: {rows:,} rows")
    return "; ".join(said)


CHECKS: Mapping[str, Callable[[httpx.Client], str]] = {
    "components": components,
    "DAGs": dags,
    "predictions": predictions,
}


def check(client: httpx.Client, login: str, password: str, console: Console, patience: float) -> bool:
    """Log in and do every check, each again and again until it passes or all have taken ``patience`` seconds.

    Returns
    -------
    whether all passed; what each found is printed.
    """
    deadline = time.monotonic() + patience
    every = {"login": lambda client: _log_in(client, login, password), **CHECKS}
    passed = [_passes(name, look, client, console, deadline) for name, look in every.items()]
    return all(passed)


def password_of(server: Path) -> str:
    """Return the administrator's password.

    Raises
    ------
    StackError
        If there is none in the environment, and no secrets file in the folder ``server``.
    """
    if given := os.environ.get("ML_AIRFLOW_PASSWORD"):
        return given
    file = server / SECRETS_FILE
    if not file.exists():
        raise StackError(f"Set ML_AIRFLOW_PASSWORD to the password: there is no {file} to take it from.")
    return str(json.loads(file.read_text())["airflow_password"])


def loopback_address(deployment: Deployment) -> str:
    """Return where a server's Airflow answers on its own machine, proxy or not."""
    return f"http://127.0.0.1:{deployment.environment.get('ML_AIRFLOW_PORT') or PAGES['AIRFLOW']}"


def _passes(
    name: str, look: Callable[[httpx.Client], str], client: httpx.Client, console: Console, deadline: float
) -> bool:
    while True:
        try:
            said, well = look(client), True
        except (StackError, httpx.HTTPError) as error:
            said, well = str(error) or type(error).__name__, False
        if well or time.monotonic() > deadline:
            console.print(f"{'ok    ' if well else 'FAILED'} {name}: {said}", markup=False, soft_wrap=True)
            return well
        time.sleep(POLL_SECONDS)


def _log_in(client: httpx.Client, login: str, password: str) -> str:
    answer = client.post("/auth/token", json={"username": login, "password": password})
    _refuse_error(answer)
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    if client.get("/api/v2/dags", headers={"Authorization": ""}).is_success:
        raise StackError("Airflow answers without a login")
    return f"{login} may enter, and nobody without a login"


def _ask(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(path, params=query)
    _refuse_error(answer)
    found: dict[str, Any] = answer.json()
    return found


def _dag_ids(client: httpx.Client) -> set[str]:
    return {dag["dag_id"] for dag in _ask(client, "/api/v2/dags", limit=100)["dags"]}


def _refuse_error(answer: httpx.Response) -> None:
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url}"
        raise StackError(f"{asked} answers {answer.status_code}: {answer.text[:300]}")


def main() -> int:
    """Check the stack that the arguments name and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m include.stack.smoke", description=__doc__)
    parser.add_argument("url", nargs="?", default="", help="address of Airflow's pages")
    parser.add_argument("--login", default=ADMIN_NAME)
    parser.add_argument("--ca", help="file with the certificate that signed the server's, if it is your own")
    parser.add_argument("--patience", type=float, default=PATIENCE_SECONDS, help="seconds until it gives up")
    asked = parser.parse_args()
    deployment, console = Deployment(os.environ), Console()
    url = asked.url or loopback_address(deployment)
    trusted = ssl.create_default_context(cafile=asked.ca) if url.startswith("https") else False
    with httpx.Client(base_url=url, timeout=60, trust_env=False, verify=trusted) as client:
        try:
            password = password_of(deployment.secrets_dir)
        except StackError as error:
            print(error, file=sys.stderr)
            return 1
        return 0 if check(client, asked.login, password, console, asked.patience) else 1


if __name__ == "__main__":
    sys.exit(main())
