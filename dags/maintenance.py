"""`maintenance`: are lake and warehouse what the manifests say, and which files may go?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.timetables.trigger import CronTriggerTimetable

from ml_lifecycle.defaults import DEFAULTS, HEAVY
from ml_lifecycle.forms import day_field
from ml_lifecycle.lake_maintenance import ALL_DAYS

DOC = """
Checks the lake against its manifests and the warehouse against the lake, heals what is damaged or missing, sweeps
unreferenced files, and makes a backup.

- **In:** all of the lake: each partition of the last 30 days or written to within them, and a sample of 200 older
  ones that changes from day to day. Of the warehouse: which predictions of the last 30 days it was loaded from.
- **Out:** the page `reports/lake/maintenance/dt=.../` (`maintenance_on_demand` for what a form asks for), and the
  runs of the DAGs that rebuild what is damaged; a backup, in the bucket of the Airflow connection `backup`.
- **When it runs:** every day at 03:00 (UTC), or by hand.
- **Healing:** a damaged partition is rebuilt by the DAG that made it, oldest stage first, one run at a time.
  Where the warehouse lacks a day's predictions or has older ones, as after a database was restored, the scoring
  publishes that day again. What a run did not heal is not tried again by itself: the page says so. Name its prefix
  in the form to try again.
- **Aliases:** `repair_aliases` sets the aliases of each model in MLflow to what the ledger says where they differ,
  and records that in the ledger.
- **Sweeping:** unreferenced files (those that no manifest names) and staged partitions are deleted once they are 7
  days old. Files beside a manifest that cannot be read stay, except staged ones.
- **Backup:** `back_up` copies the databases, all manifests of the lake, the files of the zones that the variable
  `backup` keeps, and the model files. What was copied before is not copied again. A run for a prefix or for days,
  and a dry run, make none. `docs/runbooks/restore.md` says how a backup comes back.
- **When it fails:** `conclude` red names what is still damaged; the button *Maintenance page* opens the details.
  `heal` red names the DAG whose run failed, or that is paused: its own run says why. A raw partition comes back
  only where the source still has its day. `back_up` red says which service was out of reach, or what is wrong with
  the settings.
"""


@dag(
    dag_display_name="Maintenance of the lake",
    description="Compare the lake with its manifests every day, heal what is damaged, sweep and back up.",
    doc_md=DOC,
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", interval=timedelta(days=1), run_immediately=False),
    catchup=False,
    max_active_runs=1,
    # `heal` waits for other runs beyond the reach of its own time limit, and must not keep the next night's run.
    dagrun_timeout=timedelta(hours=20),
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
    """Check, heal, conclude, back up."""

    @task(**HEAVY)
    def check() -> list[dict[str, Any]]:
        """Compare lake and warehouse with the manifests, publish what is found; returns the runs that heal it."""
        from include.lifecycle.operations import maintenance, maintenance_policy
        from ml_lifecycle.hooks import WarehouseHook, lake
        from ml_lifecycle.lake_maintenance import catalog, scope
        from ml_lifecycle.links import show_report
        from ml_lifecycle.runs import run_info

        context, run = get_current_context(), run_info()
        wanted, known = scope(context), catalog()
        with WarehouseHook().connection() as connection:
            evidence = maintenance.gather(lake(), connection, known, wanted, run.code_version)
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
        from include.lifecycle.operations import maintenance, maintenance_policy
        from ml_lifecycle.hooks import WarehouseHook, lake
        from ml_lifecycle.lake_maintenance import catalog, scope
        from ml_lifecycle.links import show_report
        from ml_lifecycle.runs import run_info
        from ml_lifecycle.summaries import refresh_all

        context = get_current_context()
        wanted = scope(context)
        found = maintenance.read_report(lake(), wanted.report, wanted.until)
        evidence, decision = found.evidence, found.decision
        show_report(wanted.report, wanted.until)
        if wanted.dry_run:
            return found.verdict.headline
        with WarehouseHook().connection() as connection:
            left = maintenance.remaining(lake(), connection, catalog(), wanted, evidence.damages)
        freed = maintenance.sweep(lake(), decision.sweep)
        outcome = maintenance_policy.conclude(evidence, decision, left, freed, wanted.until)
        verdict = maintenance.publish(lake(), wanted, evidence, decision, outcome, run_info())
        refresh_all()
        if left:
            paths = ", ".join(sorted({damage.path for damage in left}))
            raise AirflowFailException(f"{verdict.headline}: {paths}. Open the maintenance page.")
        return verdict.headline

    # Beside `conclude`, not after it: what lies at the end of a run decides whether it is red.
    @task(trigger_rule="all_done", execution_timeout=HEAVY["execution_timeout"])
    def back_up() -> str:
        """Copy databases, lake and model files to the backup bucket, delete expired backups; returns its name."""
        from include.lifecycle.operations import backup
        from ml_lifecycle.hooks import backup_origin, backup_settings, backup_store
        from ml_lifecycle.lake_maintenance import scope
        from ml_lifecycle.runs import run_info

        if not scope(get_current_context()).is_whole:
            raise AirflowSkipException("Only a run on the whole lake makes a backup.")
        settings = backup_settings()
        if settings is None:
            raise AirflowSkipException("There is no Airflow variable `backup`, so no backup is made.")
        store, now = backup_store(), datetime.now(UTC)
        made = backup.back_up(backup_origin(settings, run_info().code_version), store, settings, now)
        backup.prune(store, now, settings.keep_days)
        return made.name

    @task
    def repair_aliases() -> list[str]:
        """Set aliases in MLflow again where they are not what the ledger says; returns what was found."""
        from include.catalog import MODELS
        from include.lifecycle.promotion.repair import repair
        from ml_lifecycle.hooks import MlflowHook, WarehouseHook
        from ml_lifecycle.runs import run_info

        if get_current_context()["params"]["dry_run"]:
            raise AirflowSkipException("A dry run changes nothing.")
        url, run = MlflowHook().tracking_uri, run_info()
        with WarehouseHook().connection() as connection:
            found = [repair(url, connection, model, run, "maintenance") for model in MODELS]
        return [f"{entry.model}: {entry.reason}" for entry in found if entry is not None]

    repair_aliases()
    heal.expand_kwargs(check()) >> [conclude(), back_up()]


maintenance()
