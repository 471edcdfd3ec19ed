"""`maintenance`: is every byte of the lake still what its manifest says, and which files may go?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.trigger import CronTriggerTimetable

from ml_lifecycle.defaults import DEFAULTS, HEAVY_POOL
from ml_lifecycle.forms import day_field
from ml_lifecycle.lake_maintenance import ALL_DAYS

DOC = """
Checks the lake against its manifests, heals what is damaged or missing, and sweeps unreferenced files.

- **In:** all of the lake: each partition of the last 30 days or written to within them, and a sample of 200 older
  ones that changes from week to week.
- **Out:** the page `reports/lake/maintenance/dt=.../` (`maintenance_on_demand` for what a form asks for), and the
  runs of the DAGs that rebuild what is damaged.
- **When it runs:** every Sunday at 03:00 (UTC), or by hand.
- **Healing:** a damaged partition is rebuilt by the DAG that made it, oldest stage first, one run at a time.
  What a run did not heal is not tried again by itself: the page says so. Name its prefix in the form to try again.
- **Sweeping:** unreferenced files (those that no manifest names) and staged partitions are deleted once they are 7
  days old. Files beside a manifest that cannot be read stay, except staged ones.
- **When it fails:** `conclude` red names what is still damaged; the button *Maintenance page* opens the details.
  `heal` red names the DAG whose run failed, or that is paused: its own run says why. A raw partition comes back
  only where the source still has its day.
"""


@dag(
    dag_display_name="Maintenance of the lake",
    description="Compare the lake with its manifests every week, heal what is damaged, sweep unreferenced files.",
    doc_md=DOC,
    schedule=CronTriggerTimetable("0 3 * * 0", timezone="UTC", interval=timedelta(days=1), run_immediately=False),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["maintenance"],
    params={
        "prefix": Param(
            None,
            type=["null", "string"],
            title="Prefix",
            description="Check all partitions under this lake prefix only, e.g. features/customers. Empty: all.",
        ),
        "day": day_field("Day", "Check the partitions of this day. Empty: recent ones and a sample.", ALL_DAYS),
        "last_day": day_field("Last day", "Check all days from Day to this one. Empty: that day alone.", ALL_DAYS),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Say what would be done, and do nothing."
        ),
    },
)
def maintenance() -> None:
    """Check, heal, conclude."""

    @task(pool=HEAVY_POOL)
    def check() -> list[dict[str, Any]]:
        """Compare the lake with its manifests and publish what is found; returns the runs that heal it."""
        from include.lifecycle import maintenance, maintenance_policy
        from ml_lifecycle.hooks import lake
        from ml_lifecycle.lake_maintenance import catalog, scope
        from ml_lifecycle.links import show_report
        from ml_lifecycle.runs import run_info

        context, run = get_current_context(), run_info()
        wanted, known = scope(context), catalog()
        evidence = maintenance.gather(lake(), known, wanted, run.code_version)
        decision = maintenance_policy.decide(evidence, known, wanted)
        maintenance.publish(lake(), wanted, evidence, decision, None, run)
        show_report(wanted.report, wanted.until)
        if wanted.dry_run:
            return []
        return [{"trigger_dag_id": wake.dag_id, "conf": dict(wake.form)} for wake in decision.wakes]

    # Without retries: a run that did not help is reported, not repeated.
    heal = TriggerDagRunOperator.partial(
        task_id="heal",
        wait_for_completion=True,
        poke_interval=2,
        fail_when_dag_is_paused=True,
        max_active_tis_per_dagrun=1,
        retries=0,
        map_index_template="{{ task.trigger_dag_id }} {{ task.conf['day'] }}",
    )

    @task(trigger_rule="all_done")
    def conclude() -> str:
        """Check again what was damaged, sweep, and publish what came of it; returns the headline."""
        from include.lifecycle import maintenance, maintenance_policy
        from ml_lifecycle.hooks import lake
        from ml_lifecycle.lake_maintenance import catalog, scope
        from ml_lifecycle.links import show_report
        from ml_lifecycle.runs import run_info

        context = get_current_context()
        wanted = scope(context)
        found = maintenance.read_report(lake(), wanted.report, wanted.until)
        evidence, decision = found.evidence, found.decision
        show_report(wanted.report, wanted.until)
        if wanted.dry_run:
            return found.verdict.headline
        left = maintenance.remaining(lake(), catalog(), wanted, evidence.damages)
        freed = maintenance.sweep(lake(), decision.sweep)
        outcome = maintenance_policy.conclude(evidence, decision, left, freed, wanted.until)
        verdict = maintenance.publish(lake(), wanted, evidence, decision, outcome, run_info())
        if left:
            paths = ", ".join(sorted({damage.path for damage in left}))
            raise AirflowFailException(f"{verdict.headline}: {paths}. Open the maintenance page.")
        return verdict.headline

    heal.expand_kwargs(check()) >> conclude()


maintenance()
