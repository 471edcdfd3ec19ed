"""The manifests are what Kubernetes' own schemas ask for, and the chart is told what docker-compose.yaml says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from include.stack import mlflow_tables
from include.stack.settings import PROJECT_DIR

FOLDER = PROJECT_DIR / "deploy" / "kubernetes"
VALUES = {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("values*.yaml")}
MANIFESTS: list[dict[str, Any]] = [
    manifest
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name not in VALUES
    for manifest in yaml.safe_load_all(path.read_text())
]
PODS = [each for each in MANIFESTS if each["kind"] in ("Deployment", "Job")]
OLDEST, NEWEST = "1.30", "1.34"
COMPOSE = yaml.safe_load((PROJECT_DIR / "docker-compose.yaml").read_text())
# What the chart, or the cluster, says by itself.
NOT_IN_VALUES = {
    "AIRFLOW__CORE__EXECUTOR": "the chart's own value",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "the chart's name of the service",
    "AIRFLOW__API__HOST": "the chart's",
    "AIRFLOW__API__PORT": "the chart's",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "the chart's probes ask otherwise",
}


def _name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=_name)
def test_each_manifest_is_valid(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    [manifest] = [each for each in MANIFESTS if each["kind"] == "PodDisruptionBudget"]
    misspelt = manifest | {"spec": {"minAvailible": 1}}

    with pytest.raises(kubernetes_validate.ValidationError, match="minAvailible"):
        kubernetes_validate.validate(misspelt, NEWEST, strict=True)


@pytest.mark.parametrize("manifest", PODS, ids=_name)
def test_no_container_has_rights_or_memory_without_limit(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        if manifest["kind"] == "Deployment" and container in pod["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_secrets_are_named_and_never_written() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))

    assert "kind: Secret" not in text
    assert not re.findall(r"://[^/\s@]*:[^/\s@]*@", text)
    values = VALUES["values.yaml"]
    named = {key: value for key, value in (values | values["data"]).items() if key.endswith("SecretName")}
    assert len(named) == 6
    assert all(value.startswith("ml-") for value in named.values())


def test_the_chart_is_told_what_docker_compose_tells_airflow() -> None:
    told = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": value
        for section, options in VALUES["values.yaml"]["config"].items()
        for option, value in options.items()
    }

    expected = {
        name: value
        for name, value in COMPOSE["x-airflow"]["environment"].items()
        if value is not None and "${" not in value and name not in NOT_IN_VALUES
    }
    assert {name: str(told.get(name)) for name in expected} == expected


def _pod(name: str) -> dict[str, Any]:
    [deployment] = [each for each in MANIFESTS if _name(each) == f"Deployment-{name}"]
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def _container(name: str) -> dict[str, Any]:
    [container] = _pod(name)["containers"]
    found: dict[str, Any] = container
    return found


def test_airflows_pages_and_the_exporter_are_started_as_by_docker_compose() -> None:
    command, disk = COMPOSE["services"]["exporter"]["command"], "--disk"

    assert VALUES["values.yaml"]["apiServer"]["args"] == COMPOSE["services"]["api-server"]["command"]
    assert _container("exporter")["args"] == command[: command.index(disk)]


def test_the_ingress_leads_to_services_that_there_are() -> None:
    [ingress] = [each for each in MANIFESTS if each["kind"] == "Ingress"]
    own = {each["metadata"]["name"] for each in MANIFESTS if each["kind"] == "Service"}
    services = own | {"airflow-api-server"}  # the chart's

    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    backends = {
        path["backend"]["service"]["name"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]
    }
    assert backends <= services
    assert {f"https://{host}" for host in hosts} >= {VALUES["values.yaml"]["config"]["api"]["base_url"]}
    assert {*ingress["spec"]["tls"][0]["hosts"]} == hosts


def test_mlflow_is_started_as_by_docker_compose() -> None:
    container = _container("mlflow")
    service = COMPOSE["services"]["mlflow"]

    assert container["args"] == service["command"]
    there = {variable["name"] for variable in container["env"]}
    # Amazon's own S3 needs no address.
    assert service["environment"].keys() - there == {"MLFLOW_S3_ENDPOINT_URL"}


def test_mlflows_tables_are_migrated_before_its_server_starts() -> None:
    [migration] = _pod("mlflow")["initContainers"]
    server = _container("mlflow")

    assert migration["args"] == ["python", "-m", mlflow_tables.__name__]
    assert {key: migration[key] for key in ("image", "envFrom", "volumeMounts", "securityContext")} == {
        key: server[key] for key in ("image", "envFrom", "volumeMounts", "securityContext")
    }


def test_prometheus_asks_the_exporter_in_a_job_of_its_own() -> None:
    """One that found services by annotations would put others into the job that the alerts are about."""
    [service] = [each for each in MANIFESTS if _name(each) == "Service-exporter"]

    assert "annotations" not in service["metadata"]
    [port] = service["spec"]["ports"]
    assert f'- targets: ["exporter.ml:{port["port"]}"]' in (PROJECT_DIR / "docs" / "deploying.md").read_text()


@pytest.mark.parametrize("script", [FOLDER / "rollout", PROJECT_DIR / "deploy" / "rollout"], ids=str)
def test_scripts_of_the_rollout_can_be_read_by_bash(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
