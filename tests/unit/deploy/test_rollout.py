"""`deploy/rollout` brings a server to a release, and back to the one before where that release does not work."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from include.stack import compose
from include.stack.compose import Deployment

ROLLOUT = Path(__file__).parents[3] / "deploy" / "rollout"
# Tables that a release has migrated are too new for others.
MAKE = """#!/usr/bin/env bash
echo "$(git config ml.release): make $*" >> "$STARTED"
case "$1" in
    up) if [ -e migrates ]; then touch "$STARTED.migrated"; else test ! -e "$STARTED.migrated"; fi ;;
    smoke) test ! -e broken ;;
esac
"""
RELEASES = {"v1": "works", "v2": "works", "v3": "broken", "v4": "migrates"}  # the file that each adds or changes


class Server:
    """A clone with the releases v1, which runs, v2, v3, which does not work, and v4, which also migrates tables.

    `make` notes what it is asked, and for which release.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._started = folder / "clone", folder / "started"
        programs = folder / "bin"
        programs.mkdir()
        (programs / "make").write_text(MAKE)
        (programs / "make").chmod(0o755)
        author = {f"GIT_{role}_{what}": "tester" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, **author, "PATH": path, "STARTED": str(self._started)}
        self._make_releases()

    def _make_releases(self) -> None:
        (self.folder / "deploy").mkdir(parents=True)
        shutil.copy(ROLLOUT, self.folder / "deploy" / "rollout")
        self.run("git", "init", "--quiet")
        for version, name in RELEASES.items():
            (self.folder / name).write_text(version)
            self.run("git", "add", "--all")
            self.run("git", "commit", "--quiet", "--message", version)
            self.run("git", "tag", version)
        self.run("git", "checkout", "--quiet", "v1")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )

    def started(self) -> list[str]:
        return self._started.read_text().splitlines() if self._started.exists() else []

    def release(self) -> str:
        return self.run("git", "describe", "--tags").stdout.strip()

    def image(self, monkeypatch: pytest.MonkeyPatch) -> str | None:
        """What `make up` takes."""
        monkeypatch.setattr(compose, "PROJECT_DIR", self.folder)
        return Deployment({"ML_REGISTRY_IMAGE": "acme/ml"}).released_image


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_release_is_started_and_tried(server: Server) -> None:
    done = server.run("deploy/rollout", "v2")

    assert done.returncode == 0
    assert server.started() == ["v2: make up", "v2: make smoke"]


def test_a_release_that_does_not_work_is_taken_back(server: Server) -> None:
    done = server.run("deploy/rollout", "v3")

    assert done.returncode == 1
    assert "v1 is running again" in done.stderr
    assert server.started() == ["v3: make up", "v3: make smoke", "v1: make up", "v1: make smoke"]
    assert server.release() == "v1"


def test_a_release_that_migrated_tables_and_does_not_work_leaves_no_way_back(server: Server) -> None:
    done = server.run("deploy/rollout", "v4")

    assert done.returncode == 1
    assert "v1 does not start any more, either: docs/runbooks/upgrade.md says how" in done.stderr
    assert "is running" not in done.stdout + done.stderr
    assert server.started() == ["v4: make up", "v4: make smoke", "v1: make up"]


def test_of_two_releases_of_one_commit_the_one_asked_for_is_running(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("git", "tag", "v2-rc1", "v2")
    server.run("git", "tag", "--annotate", "--message=older", "v1.9", "v2")

    for release in ("v2", "v2-rc1", "v1.9"):
        done = server.run("deploy/rollout", release)

        assert f"{release} is running" in done.stdout
        assert server.image(monkeypatch) == f"acme/ml:{release}"


def test_the_way_back_leads_to_the_one_of_two_releases_that_ran(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("git", "tag", "--annotate", "--message=older", "v0.9", "v1")
    server.run("deploy/rollout", "v1")

    done = server.run("deploy/rollout", "v3")

    assert "v1 is running again" in done.stderr
    assert server.image(monkeypatch) == "acme/ml:v1"


def test_an_unknown_release_changes_nothing(server: Server) -> None:
    done = server.run("deploy/rollout", "v9")

    assert done.returncode == 1
    assert "no release v9" in done.stderr
    assert server.release() == "v1"
    assert server.started() == []


def test_files_that_were_changed_on_the_server_are_not_lost(server: Server) -> None:
    (server.folder / "works").write_text("changed here")

    done = server.run("deploy/rollout", "v2")

    assert done.returncode == 1
    assert "Files were changed here" in done.stderr
    assert (server.folder / "works").read_text() == "changed here"
    assert server.started() == []
