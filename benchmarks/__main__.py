"""Run all benchmarks, or those named: `python -m benchmarks scoring drift`."""

from __future__ import annotations

import sys

from benchmarks import (
    dag_files,
    drift,
    market_day,
    market_features,
    orchestration,
    scoring,
    segment_training,
    validation,
)

BENCHMARKS = {
    "dag_files": dag_files,
    "validation": validation,
    "scoring": scoring,
    "drift": drift,
    "market_features": market_features,
    "market_day": market_day,
    "segment_training": segment_training,
    "orchestration": orchestration,
}


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    for name in names or BENCHMARKS:
        BENCHMARKS[name].main()


if __name__ == "__main__":
    main(sys.argv[1:])
