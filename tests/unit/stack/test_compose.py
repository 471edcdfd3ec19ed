"""What `make up` makes of Docker's answers and of its variables."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from include.stack import compose
from include.stack.compose import BROKEN, READY, STARTING, Deployment, _state, down, restore, up
from include.stack.errors import StackError
from include.stack.server import write_secrets

RUNNING, ENDED = {"Status": "running"}, {"Status": "exited"}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({**RUNNING, "Health": {"Status": "healthy"}}, READY),
        ({**RUNNING, "Health": {"Status": "starting"}}, STARTING),
        ({**RUNNING, "Health": {"Status": "unhealthy"}}, STARTING),
        (RUNNING, STARTING),
        ({"Status": "created"}, STARTING),
        ({"Status": "restarting", "Health": {"Status": "healthy"}}, STARTING),
        ({**ENDED, "ExitCode": 0}, READY),
        ({**ENDED, "ExitCode": 1}, BROKEN),
    ],
)
def test_a_server_is_ready_when_healthy_and_a_step_when_it_has_ended_well(
    state: dict[str, Any], expected: str
) -> None:
    assert _state(state) == expected


def test_addresses_follow_the_ports_unless_a_proxy_has_its_own() -> None:
    chosen = {"ML_AIRFLOW_PORT": "8081", "ML_MLFLOW_URL": "https://mlflow.example.com"}

    deployment = Deployment(chosen)

    assert deployment.address("AIRFLOW") == "http://localhost:8081"
    assert deployment.address("MLFLOW") == "https://mlflow.example.com"
    assert deployment.variables["ML_AIRFLOW_URL"] == "http://localhost:8081"


def test_with_https_all_addresses_follow_the_domain_and_the_services_are_told() -> None:
    deployment = Deployment({"ML_PROFILE": "monitoring,https", "ML_DOMAIN": "ml.example.com"})

    assert deployment.address("AIRFLOW") == "https://airflow.ml.example.com"
    assert deployment.variables["ML_GRAFANA_URL"] == "https://grafana.ml.example.com"
    assert deployment.variables["ML_MLFLOW_HOST"] == "mlflow.ml.example.com"
    assert deployment.variables["ML_TRUSTED_PROXIES"] == "*"
    assert deployment.variables["COMPOSE_PROFILES"] == "monitoring,https"
    assert "ML_TRUSTED_PROXIES" not in Deployment({"ML_PROFILE": "monitoring"}).variables


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the release v1, checked out."""
    author = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    (tmp_path / "file").write_text("as released")
    for command in (("init",), ("add", "file"), (*author, "commit", "--message=v1"), ("tag", "v1")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(compose, "PROJECT_DIR", tmp_path)
    return tmp_path


def git(folder: Path, *command: str) -> None:
    subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("chosen", "image"),
    [({}, "ghcr.io/acme/ml:v1"), ({"ML_IMAGE": ""}, "ghcr.io/acme/ml:v1"), ({"ML_IMAGE": "mine"}, "mine")],
)
def test_a_release_of_a_registry_has_its_image_unless_another_is_chosen(
    release: Path, chosen: dict[str, str], image: str
) -> None:
    git(release, "tag", "before-upgrade")

    assert Deployment({"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml", **chosen}).variables["ML_IMAGE"] == image


def test_of_two_releases_of_one_commit_the_one_that_was_rolled_out_is_taken(release: Path) -> None:
    git(release, "tag", "v1-rc1")
    deployment = {"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml"}

    for noted in ("v1", "v1-rc1"):
        git(release, "config", "ml.release", noted)
        assert Deployment(deployment).released_image == f"ghcr.io/acme/ml:{noted}"


@pytest.mark.parametrize("noted", ["v0", "before-upgrade"])
def test_what_was_rolled_out_before_another_checkout_has_no_say(release: Path, noted: str) -> None:
    git(release, "tag", "before-upgrade")
    git(release, "config", "ml.release", noted)

    assert Deployment({"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml"}).released_image == "ghcr.io/acme/ml:v1"


@pytest.fixture(params=["not installed", "dubious ownership"])
def git_refuses(request: pytest.FixtureRequest, release: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Git does not answer in the clone of `release`; why."""
    if request.param == "not installed":
        monkeypatch.setenv("PATH", str(release / "empty"))
    else:  # as in a clone of another user; no setting of this machine permits it
        for name, value in (("TEST_ASSUME_DIFFERENT_OWNER", "1"), ("CONFIG_NOSYSTEM", "1")):
            monkeypatch.setenv(f"GIT_{name}", value)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return str(request.param)


def test_where_git_does_not_answer_no_image_is_built_in_place_of_the_releases(
    git_refuses: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment({"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml"})

    assert "ML_IMAGE" not in deployment.variables  # `make down` needs none
    with pytest.raises(StackError, match=f"(?s)Which release is checked out is unknown.*{git_refuses}"):
        _asked_for_its_image(deployment, monkeypatch)


@pytest.mark.parametrize("chosen", [{}, {"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml", "ML_IMAGE": "mine"}])
def test_where_no_release_is_wanted_git_need_not_answer(
    git_refuses: str, chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment(chosen)

    assert _asked_for_its_image(deployment, monkeypatch) == [("build", "storage")]
    assert deployment.variables["ML_CODE_VERSION"] == "unknown"


@pytest.mark.parametrize("what", ["no registry", "changed files", "a tag of one's own"])
def test_what_is_no_release_of_a_registry_is_built_here(
    release: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "changed files":
        (release / "file").write_text("changed")
    if what == "a tag of one's own":
        git(release, "tag", "--delete", "v1")
        git(release, "tag", "before-upgrade")
    deployment = Deployment({} if what == "no registry" else {"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml"})

    assert _asked_for_its_image(deployment, monkeypatch) == [("build", "storage")]
    assert "ML_IMAGE" not in deployment.variables


@pytest.mark.parametrize("is_here", [True, False])
def test_the_image_of_a_release_is_pulled_once(
    release: Path, is_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that runs it starts again while the registry is out of reach."""
    image = ["docker", "image", "inspect", "ghcr.io/acme/ml:v1"]
    monkeypatch.setattr(compose, "_succeeds", lambda command: is_here and command == image)
    deployment = Deployment({"ML_REGISTRY_IMAGE": "ghcr.io/acme/ml"})

    assert _asked_for_its_image(deployment, monkeypatch) == ([] if is_here else [("pull", "storage")])


def test_an_image_that_was_chosen_is_pulled_when_told(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = Deployment({"ML_IMAGE": "mine:newest", "ML_PULL": "1"})

    assert _asked_for_its_image(deployment, monkeypatch) == [("pull", "storage")]


def _asked_for_its_image(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(Deployment, "run", lambda self, *arguments: asked.append(arguments))
    compose._prepare_image(deployment, Console(quiet=True))
    return asked


@pytest.mark.parametrize(
    ("chosen", "missing", "answer"),
    [
        ({"ML_DOMAIN": ""}, (), "HTTPS needs ML_DOMAIN"),
        ({"ML_BIND": "0.0.0.0"}, (), "leave ML_BIND out"),
        ({}, ("fullchain.pem", "privkey.pem"), "fullchain.pem is missing"),
        ({}, ("privkey.pem",), "privkey.pem is missing"),
        ({}, (), "chmod 644"),
    ],
)
def test_what_https_lacks_is_said_before_anything_is_built(
    chosen: dict[str, str], missing: tuple[str, ...], answer: str, tmp_path: Path
) -> None:
    # given
    environment = {"ML_STATE_DIR": str(tmp_path), "ML_PROFILE": "https", "ML_DOMAIN": "ml.example.com", **chosen}
    folder = tmp_path / "server" / "tls"
    folder.mkdir(parents=True)
    for name in {"fullchain.pem", "privkey.pem"} - set(missing):
        (folder / name).touch()
        (folder / name).chmod(0o644 if missing else 0o600)

    # then
    with pytest.raises(StackError, match=answer):
        up(Deployment(environment), Console(quiet=True))


def test_the_secrets_are_in_the_state_folder(tmp_path: Path) -> None:
    assert Deployment({"ML_STATE_DIR": str(tmp_path)}).secrets_dir == tmp_path / "server"


def test_a_machine_without_docker_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match="Docker does not answer"):
        _ = Deployment({}).command


def test_workers_are_stopped_before_all_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, ...]] = []
    monkeypatch.setattr(Deployment, "run", lambda _, *arguments: told.append(arguments))

    down(Deployment({}), Console(quiet=True))

    assert told == [("stop", "worker"), ("down", "--remove-orphans")]


@pytest.mark.parametrize(("name", "hints"), [("list", False), ("", True), ("2026-11-29T030500Z", True)])
def test_what_comes_after_a_restore_is_said_where_something_was_restored(
    name: str, hints: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment({"ML_STATE_DIR": str(tmp_path), "FROM": name})
    write_secrets(deployment.secrets_dir)
    monkeypatch.setattr(Deployment, "run", lambda *_: None)
    monkeypatch.setattr(Deployment, "states", lambda _: {})
    monkeypatch.setattr(compose, "_prepare_image", lambda *_: None)
    console = Console(record=True, quiet=False, file=(tmp_path / "said").open("w"))

    restore(deployment, console)

    assert ("make up" in console.export_text()) == hints
