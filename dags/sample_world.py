"""`sample_world`: a day passes at the sample company and on the sample market."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import Variable, dag, get_current_context, task
from airflow.timetables.interval import CronDataIntervalTimetable

from include.catalog import DATASETS
from ml_lifecycle.days import chosen_day, yesterday
from ml_lifecycle.defaults import DEFAULTS
from ml_lifecycle.forms import day_field
from ml_lifecycle.schedules import in_words

# The company and the market live on the same days.
WORLD = DATASETS["customers"]

SCHEDULE = "30 0 * * *"

DOC = """
Plays the part of the world: it writes each new day of a generated telecom company, and of a generated stock
market, into the operational database, so that the project works without any data of yours. Nothing else in the
project knows that the data is generated.

- **In:** the Airflow variables `sample_world` (customers, days of history, seed, drift, rate of bad rows) and
  `sample_market` (symbols, sessions of history, seed, halts, splits).
- **Out:** the schemas `telecom` and `market` of the connection `company_db`.
- **When it runs:** {schedule}, or by hand.
- **When it fails:** the company's database is out of reach; clear the task once it is back. Days are written
  whole or not at all. Pause this DAG once the project reads your own data.
"""


@dag(
    dag_display_name="Sample world: a day passes",
    description="Write each new day of the generated company and market into their database.",
    doc_md=DOC.format(schedule=in_words(SCHEDULE, WORLD.timezone)),
    schedule=CronDataIntervalTimetable(SCHEDULE, timezone=WORLD.timezone),
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["sample"],
    params={
        "day": day_field("Until", "Write the days up to and including this one. Empty: yesterday.", WORLD),
    },
)
def sample_world() -> None:
    @task
    def add_days() -> None:
        """Write the days that the company's database lacks."""
        from include.samples.database import ensure_history
        from include.samples.settings import CompanySettings
        from ml_lifecycle.hooks import connect

        settings: dict[str, Any] = Variable.get("sample_world", deserialize_json=True)
        context = get_current_context()
        until = chosen_day(context, WORLD) or yesterday(context, WORLD.timezone)
        with connect("company_db") as connection:
            ensure_history(connection, CompanySettings(**settings), until)

    @task
    def add_sessions() -> None:
        """Write the sessions of the stock market that the database lacks."""
        from include.samples.market import MarketSettings, ensure_market
        from ml_lifecycle.hooks import connect

        settings: dict[str, Any] = Variable.get("sample_market", deserialize_json=True)
        context = get_current_context()
        until = chosen_day(context, WORLD) or yesterday(context, WORLD.timezone)
        with connect("company_db") as connection:
            ensure_market(connection, MarketSettings(**settings), until)

    add_days()
    add_sessions()


sample_world()
