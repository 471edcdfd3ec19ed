"""The Makefile: which commands take what was chosen for a server."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

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
