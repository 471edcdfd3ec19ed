"""`make demo`: half a year of the sample company, twice, and a page that says what the loop changed."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from datetime import date
from pathlib import Path

from rich.console import Console

from include.models.churn import CHURN
from include.stack.display import Display
from include.stack.errors import StackError
from include.stack.settings import PROJECT_DIR
from include.time_lapse.lives import company_of, live_twice
from include.time_lapse.page import render_story
from include.time_lapse.weeks import Span

FIRST = date(2025, 1, 1)
FOLDER = PROJECT_DIR / ".state" / "demo"
OUTCOME_DAYS = CHURN.label.horizon_days + CHURN.label.delay_days


def main() -> int:
    """Live both lives, and leave the page and what it shows."""
    parser = argparse.ArgumentParser(prog="python -m include.time_lapse", description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000, help="of the sample company on its first day")
    parser.add_argument("--seed", type=int, default=7, help="of the sample company")
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="for the services' data; what it has is deleted"
    )
    asked = parser.parse_args()
    began, console = time.monotonic(), Console()
    span = Span(first=FIRST, outcome_days=OUTCOME_DAYS, weeks=asked.weeks)
    folder = asked.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Display(console) as display:
            story = live_twice(company_of(asked.customers, asked.seed, span), span, folder, display)
    except StackError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    (folder / "story.json").write_text(story.model_dump_json(indent=2))
    page = folder / "index.html"
    page.write_text(render_story(story))
    console.print(f"It took {(time.monotonic() - began) / 60:.0f} minutes. The page: {page}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
