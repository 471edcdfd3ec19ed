"""The Makefile: which commands take what was chosen for a server."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

MAKEFILE = Path(__file__).parents[3] / "Makefile"


@pytest.mark.parametrize(
    ("target", "taken"), [("up", True), ("restore-server", True), ("run", False), ("test", False)]
)
def test_what_was_chosen_for_a_server_concerns_no_local_stack(target: str, taken: bool, tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "server.env").write_text("ML_BACKUP_BUCKET=of-the-team\n")

    known = subprocess.run(
        ["make", "--dry-run", "--print-data-base", target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    assert ("ML_BACKUP_BUCKET" in known) is taken


@given(
    value=st.text(alphabet="ab $()`\"'\\;&|<>*~!#%{},-\u00e9", min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool),
    name=st.sampled_from(["CSV", "KEY", "LABEL", "DATASET"]),
)
@settings(max_examples=60, deadline=None)
def test_what_make_new_is_given_reaches_it_as_it_is(value: str, name: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("make")
    python = folder / "python"
    python.write_text('#!/bin/sh\nshift 2\nfor given; do printf "%s\\n" "$given"; done\n')
    python.chmod(0o755)

    said = subprocess.run(
        ["make", "-s", "-f", MAKEFILE, "-o", "install", "new", f"PYTHON={python}", f"{name}={value}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"--{name.lower()}={value}" in said.stdout.splitlines(), said.stderr
