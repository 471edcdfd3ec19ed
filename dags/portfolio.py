"""`portfolio`: what to hold, from the predictions of returns and volatility."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, get_current_context, task

from include.catalog import DATASETS
from include.lifecycle.look_back import LOOK_BACK
from ml_lifecycle import assets
from ml_lifecycle.days import requested_range
from ml_lifecycle.defaults import DEFAULTS, HEAVY
from ml_lifecycle.forms import day_field

MARKET = DATASETS["market"]

DOC = """
Makes a portfolio of each day that both models predict: equal weight, minimum variance, maximum Sharpe and risk
parity side by side, with a back-test that says whether any of them beats equal weight by more than chance.

- **In:** `predictions/returns/`, `predictions/volatility/`, `clean/market/prices/`, and the portfolio of the day
  before, against which turnover is limited and whose back-test is carried on.
- **Out:** `portfolio/market/dt=.../` (weights as Parquet and CSV, summary, frontier, back-test),
  `portfolio/market/latest.json`, and the page `reports/portfolio/portfolio/dt=.../`.
- **When it runs:** woken by new predictions of both models, or by hand.
- **Which days:** it makes the days that have prices and both predictions, from the first one without a portfolio,
  or with one of inputs since replaced; it looks back {look_back} days from the newest one, and through all of the
  history where the oldest of these days is not done. They are made one after the other, and each carries the
  back-test of the one before on.
  A day on which no portfolio can be made (too few symbols for the weight cap) gets a page with the reason in place
  of one, a warning in the log of `build`, and is tried again when its prices, predictions or the settings change.
  Name a day in the form to make it all the same.
- **When it fails:** `build` red names the day's missing partition, or, if the form named the day, the symbols that
  are too few for the weight cap. Fix that and trigger this DAG with the day; readers still see the previous
  state.
"""


@dag(
    dag_id="portfolio",
    dag_display_name="Portfolio",
    description="What to hold on each day that both market models predict, and whether optimising pays.",
    doc_md=DOC.format(look_back=LOOK_BACK.days),
    schedule=assets.predictions("returns") & assets.predictions("volatility"),
    start_date=datetime(2020, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["portfolio", "market"],
    params={
        "day": day_field("Day", "Make the portfolio of this day. Empty: the days that lack one.", MARKET),
        "last_day": day_field("Last day", "Make all days from Day to this one. Empty: that day alone.", MARKET),
    },
)
def portfolio() -> None:
    """From new predictions to the weights."""

    @task
    def find_days() -> list[str]:
        """The days to make a portfolio for, oldest first."""
        from include.portfolio import planning
        from include.portfolio.settings import PortfolioSettings
        from ml_lifecycle.hooks import lake

        requested = requested_range(get_current_context(), MARKET)
        return [day.isoformat() for day in planning.plan(lake(), requested, PortfolioSettings())]

    # One at a time and oldest first: each portfolio starts from the one before.
    @task(**HEAVY, max_active_tis_per_dag=1, map_index_template="{{ days_label }}")
    def build(day: str) -> dict[str, object]:
        """Make and publish the portfolio of a day and its page, or a page that says why there is none."""
        from include.portfolio import publish
        from include.portfolio.inputs import REPORT
        from include.portfolio.settings import PortfolioSettings
        from ml_lifecycle.hooks import WarehouseHook, lake
        from ml_lifecycle.links import show_report
        from ml_lifecycle.runs import label_days, run_info

        [wanted] = label_days([day])
        is_requested = requested_range(get_current_context(), MARKET) is not None
        make = publish.make if is_requested else publish.make_or_refuse
        with WarehouseHook().connection() as connection:
            made = make(lake(), connection, wanted, PortfolioSettings(), run_info())
        show_report(REPORT, wanted)
        return made

    build.expand(day=find_days())


portfolio()
