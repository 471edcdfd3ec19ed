"""Rules, runbooks and dashboard speak of metrics that exist, and each alert fires and clears as it should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.lifecycle.operations import metrics

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "lifecycle.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
# Metrics that Prometheus itself has.
ITS_OWN = {"up", "ALERTS", "ALERTS_FOR_STATE"}
RUNBOOK = ["Symptom", "What it means", "What to check", "What to press", "How to know it is over"]


def names(query: str) -> set[str]:
    """The metrics of a query: what is a word, outside of braces and text, and no function or keyword."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]|\b(on|by)\s*\([^)]*\)", " ", query)
    words = re.findall(r"\b([a-zA-Z_]\w*)\b(?!\s*\()", bare)
    return set(words) - {"or", "and", "unless", "on", "by"}


@pytest.mark.parametrize("query", [*QUERIES, *(rule["expr"] for rule in RULES)])
def test_every_metric_of_rules_and_dashboard_exists(query: str) -> None:
    assert names(query) <= {metric.name for metric in metrics.every()} | ITS_OWN


def test_every_metric_is_on_the_dashboard() -> None:
    shown = set().union(*map(names, QUERIES))

    assert {metric.name for metric in metrics.every()} - shown == set()


def test_a_metric_that_does_not_exist_would_be_found() -> None:
    assert names('sum by (model) (rate(ml_gone{model="x"}[5m])) > on (model) ml_limit or vector(0)') == {
        "ml_gone",
        "ml_limit",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_sentence_a_severity_and_a_whole_runbook(rule: dict[str, Any]) -> None:
    runbook = ROOT / rule["annotations"]["runbook"]

    assert runbook.name == f"{rule['alert']}.md"
    assert re.findall(r"^## (.*)$", runbook.read_text(), re.MULTILINE) == RUNBOOK
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_no_runbook_is_left_without_its_alert() -> None:
    """Runbooks with capital letters are those of alerts."""
    books = {path.stem for path in (ROOT / "docs" / "runbooks").glob("[A-Z]*.md")}

    assert books == {rule["alert"] for rule in RULES}


def test_links_between_runbooks_lead_somewhere() -> None:
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        for target in re.findall(r"\]\((\w+\.md)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links {target}"


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """The checks themselves are promtool's."""
    fires: dict[str, set[bool]] = {}
    for test in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]:
        for check in test["alert_rule_test"]:
            fires.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))

    assert fires == {rule["alert"]: {True, False} for rule in RULES}


def test_each_alert_fires_when_it_should_and_clears() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus (Debian: apt-get install prometheus)")
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
