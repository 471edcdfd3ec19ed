"""`deploy/kubernetes/rollout` brings a cluster to a release, and back to what ran where that does not work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from include.stack.settings import PROJECT_DIR

ROLLOUT = PROJECT_DIR / "deploy" / "kubernetes" / "rollout"
RELEASE = ("ghcr.io/acme/ml", "v2", "https://airflow.example.com")
# Notes how it is called and, of what it is to apply, the name and the image. What $FAILING is part of fails.
PROGRAM = r"""#!/usr/bin/env bash
call="$(basename "$0") $*"
case "$call" in
    *"get replicasets --selector app=mlflow"*) echo "$REVISIONS" ;;
    *"create configmap"*) echo "kind: ConfigMap" ;;
    *"--filename -")
        call+=" $(sed -n 's/^  name: //p; s/.*image: \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | xargs)" ;;
esac
echo "$call" >> "$CALLS"
case "$call" in *"$FAILING"*) exit 1 ;; esac
"""
TAKEN_BACK = "helm --namespace ml rollback airflow"
APPLIED = "apply --filename -"
UNDONE = "kubectl --namespace ml rollout undo deployment/mlflow"


class Cluster:
    """What a rollout asks of the programs that speak to the cluster.

    `revisions` are MLflow's before it, each with the number of its ready pods, where it has any; `said` is what
    the rollout says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.revisions, self.said = folder, "3 \n4 2", ""
        for name in ("kubectl", "helm", "make"):
            (folder / name).write_text(PROGRAM)
            (folder / name).chmod(0o755)

    def roll_out(self, failing: str = "nothing fails") -> tuple[int, list[str]]:
        """Roll a release out; returns the exit code and the calls."""
        calls = self._folder / "calls"
        environment = {
            **os.environ,
            "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "REVISIONS": self.revisions,
            "FAILING": failing,
        }
        done = subprocess.run([ROLLOUT, *RELEASE], env=environment, capture_output=True, text=True, check=False)
        self.said = done.stderr
        return done.returncode, calls.read_text().splitlines()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_release_is_installed_with_its_image_and_tried(cluster: Cluster) -> None:
    code, calls = cluster.roll_out()

    assert code == 0
    applied = [call.partition("--filename - ")[2].split() for call in calls if APPLIED in call and "ghcr" in call]
    assert applied == [[name, "ghcr.io/acme/ml:v2"] for name in ("mlflow", "ml-setup", "exporter")]
    [helm] = [call for call in calls if call.startswith("helm")]
    assert "images.airflow.repository=ghcr.io/acme/ml --set images.airflow.tag=v2" in helm
    assert calls[-2] == "make smoke URL=https://airflow.example.com"


@pytest.mark.parametrize(
    "failing", ["delete job", f"{APPLIED} ml-setup", "job/ml-setup", "rollout status", "make smoke"]
)
def test_a_release_that_does_not_work_is_taken_back_to_the_revision_that_ran(
    cluster: Cluster, failing: str
) -> None:
    """Also where the release was rolled out before, and MLflow therefore has no newer revision than that one."""
    code, calls = cluster.roll_out(failing)

    assert code == 1
    assert failing in calls[-3]
    assert calls[-2].startswith(TAKEN_BACK)
    assert calls[-1] == f"{UNDONE} --to-revision=4"


@pytest.mark.parametrize("failing", [f"{APPLIED} mlflow", "helm upgrade"])
def test_what_fails_before_airflow_is_new_takes_mlflow_back_alone(cluster: Cluster, failing: str) -> None:
    code, calls = cluster.roll_out(failing)

    assert code == 1
    assert failing in calls[-2]
    assert calls[-1] == f"{UNDONE} --to-revision=4"


def test_the_first_release_of_all_has_nothing_to_go_back_to(cluster: Cluster) -> None:
    cluster.revisions = ""

    code, calls = cluster.roll_out("make smoke")

    assert code == 1
    assert calls[-1].startswith(TAKEN_BACK)
    assert "No MLflow was ready before" in cluster.said


@pytest.mark.parametrize(("revisions", "ran"), [("4 2\n5 ", 4), ("5 \n4 2", 4), ("9 2\n10 2\n11 ", 10)])
def test_a_revision_that_never_became_ready_is_no_way_back(cluster: Cluster, revisions: str, ran: int) -> None:
    """A rollout that was killed leaves one."""
    cluster.revisions = revisions

    _, calls = cluster.roll_out("make smoke")

    assert calls[-1] == f"{UNDONE} --to-revision={ran}"


def test_where_the_exporter_alone_fails_the_release_stays_and_the_rollout_says_so(cluster: Cluster) -> None:
    code, calls = cluster.roll_out(f"{APPLIED} exporter")

    assert code == 1
    assert calls[-1].startswith(f"kubectl --namespace ml {APPLIED} exporter")
    assert "v2 is running, but without its exporter" in cluster.said
