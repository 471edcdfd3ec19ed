"""`deploy/rollout` brings a server to a release, and back to the one before where that release does not work."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROLLOUT = Path(__file__).parents[3] / "deploy" / "rollout"
MAKE = """#!/usr/bin/env bash
echo "$(git describe --tags): make $*" >> "$STARTED"
if [ "$1" = smoke ]; then test ! -e broken; fi
"""


class Server:
    """A clone with the releases v1, which runs, v2, and v3, which does not work; `make` notes what it is asked."""

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
        for version in ("v1", "v2", "v3"):
            (self.folder / ("broken" if version == "v3" else "works")).write_text(version)
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
