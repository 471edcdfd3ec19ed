"""Run all benchmarks, or those named, each in a process of its own; then say which limits are met.

`python -m benchmarks scoring drift --json results.json`. Fails where a limit is not met or a benchmark breaks off.
With `--share 0.01` the generated tables have a hundredth of their rows: to try the benchmarks out, as the limits
hold for all rows.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.processes import in_a_new_process
from benchmarks.ratios import Ratio, ratios_of

NAMES = (
    "dag_files",
    "validation",
    "scoring",
    "reasons",
    "drift",
    "market_features",
    "market_day",
    "history",
    "segment_training",
    "orchestration",
    "executors",
)
RESULTS = Path(__file__).parents[1] / ".state" / "benchmarks.json"


def run_all(names: Sequence[str], share: float) -> dict[str, list[Ratio]]:
    """The ratios of each benchmark; one that breaks off has none that is met."""
    found = {}
    for name in names:
        try:
            found[name] = in_a_new_process(ratios_of, name, share)
        except Exception:
            traceback.print_exc()
            found[name] = [Ratio("broke off, see above", math.nan, 0)]
    return found


def closing_table(found: Mapping[str, Sequence[Ratio]]) -> Table:
    """All ratios, their limits, and whether they are met."""
    table = Table("benchmark", "figure", "measured", "limit", "met", title="All limits")
    for name, ratios in found.items():
        for ratio in ratios:
            table.add_row(name, ratio.name, f"{ratio.measured:.3g}", ratio.bound, "yes" if ratio.met else "NO")
    return table


def main(arguments: Sequence[str]) -> int:
    """0 where all limits are met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; all without")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"where the results are written ({RESULTS})")
    parser.add_argument("--share", type=float, default=1.0, help="share of the generated rows to measure with")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.names) - set(NAMES)):
        parser.error(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}.")
    found = run_all(asked.names or NAMES, asked.share)
    Console().print(closing_table(found))
    results = [ratio.as_json(name) for name, ratios in found.items() for ratio in ratios]
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(results, indent=2) + "\n")
    print(f"The same as JSON: {asked.json}")
    return int(not all(result["met"] for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
