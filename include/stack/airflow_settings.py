"""``airflow_settings.yaml``: connections, pools and variables, read and handed to Airflow."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from include.stack.airflow_api import AirflowApi
from include.stack.errors import StackError

CONNECTION_FIELDS = {
    "conn_id": "connection_id",
    "conn_type": "conn_type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
    "conn_extra": "extra",
}

MASKED = "***"
NOTE = "Set by airflow_settings.yaml; a value that is changed here stays. Fingerprint:"


def read(path: Path, values: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Read a settings file in Astro's format and return the bodies that Airflow's REST API takes.

    Parameters
    ----------
    path : the YAML file.
    values : what each ``${NAME}`` in it stands for.

    Returns
    -------
    ``connections``, ``pools`` and ``variables``, each a list of entities.

    Raises
    ------
    StackError
        If a placeholder has no value, or a field is unknown.
    """
    content = _filled(yaml.safe_load(path.read_text())["airflow"], values, path)
    return {
        "connections": [_connection(entry, path) for entry in content.get("connections") or []],
        "pools": [_pool(entry) for entry in content.get("pools") or []],
        "variables": [_variable(entry) for entry in content.get("variables") or []],
    }


def load(api: AirflowApi, path: Path, values: Mapping[str, str]) -> list[str]:
    """Bring the file's connections, pools and variables into Airflow.

    Connections and pools are overwritten: they hold the stack's own addresses, passwords and sizes. A variable is
    overwritten where nobody has changed it in Airflow since the file set it.

    Returns
    -------
    A sentence about each variable that is left as it is in Airflow, though the file says otherwise.

    Raises
    ------
    StackError
        If the file is wrong, or Airflow refuses an entity.
    """
    wanted = read(path, values)
    present = {variable["key"]: variable for variable in api.variables()}
    kept = [
        one["key"] for one in wanted["variables"] if _is_changed_by_hand(present.get(one["key"]), one["value"])
    ]
    wanted["variables"] = [
        one | {"description": _note(one["value"])} for one in wanted["variables"] if one["key"] not in kept
    ]
    for kind, entities in wanted.items():
        action = {"action": "create", "action_on_existence": "overwrite", "entities": entities}
        answer = api.patch(f"/{kind}", {"actions": [action]})
        if answer["create"]["errors"]:
            raise StackError(f"Airflow refuses the {kind} in {path}: {answer['create']['errors']}")
    return [
        f"The variable {key} is not what {path.name} says: it was changed in Airflow, and stays. To have the "
        "file's value, delete the variable in Airflow (Admin, Variables) and start again."
        for key in kept
    ]


def _is_changed_by_hand(present: Mapping[str, Any] | None, wanted: Any) -> bool:
    """Whether Airflow's value is neither the file's present one nor the one that the file set last.

    A value that Airflow masks, as it does where a name sounds secret, cannot be compared: the file's counts.
    """
    if present is None or MASKED in present["value"]:
        return False
    value, description = present["value"], present["description"]
    return bool(_content(value) != _content(wanted) and _note(value) != description)


def _note(value: Any) -> str:
    """The description of a variable that the file has set, by which a later change of its value shows."""
    text = json.dumps(_content(value), sort_keys=True)
    return f"{NOTE} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _content(value: Any) -> Any:
    """A variable's value: Airflow stores all of them as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value


def _filled(node: Any, values: Mapping[str, str], path: Path) -> Any:
    """Fill the placeholders after parsing, so that no value can change the file's structure."""
    if isinstance(node, dict):
        return {key: _filled(value, values, path) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(item, values, path) for item in node]
    if not isinstance(node, str):
        return node
    try:
        return Template(node).substitute(values)
    except (KeyError, ValueError) as error:
        raise StackError(
            f"{path} says {node!r}, which cannot be filled in: the names are {', '.join(sorted(values))}, "
            "and a dollar sign that stands for itself is written $$."
        ) from error


def _connection(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    unknown = set(entry) - set(CONNECTION_FIELDS)
    if unknown:
        raise StackError(f"{path} has unknown fields in connection {entry.get('conn_id')}: {sorted(unknown)}.")
    connection = {ours: entry.get(theirs) for theirs, ours in CONNECTION_FIELDS.items()}
    if connection["port"] is not None:
        connection["port"] = int(connection["port"])
    if isinstance(connection["extra"], dict):
        connection["extra"] = json.dumps(connection["extra"])
    return connection


def _pool(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["pool_name"],
        "slots": int(entry["pool_slot"]),
        "description": entry.get("pool_description"),
        "include_deferred": False,
    }


def _variable(entry: dict[str, Any]) -> dict[str, Any]:
    return {"key": entry["variable_name"], "value": entry["variable_value"]}
