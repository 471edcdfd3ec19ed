"""What was found about one table of one day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from include.lifecycle.ingestion.quarantine import Rule
from include.lifecycle.ingestion.verdicts import TableVerdict
from include.lifecycle.specs import TableSpec


@dataclass(frozen=True)
class CheckedTable:
    """One table of one day: its verdict, its rows, and `broken` with `raw_row` and `rule` per broken rule.

    `inputs` is the manifest's digest of the raw partition that was read, by lake path.
    """

    spec: TableSpec
    rules: Mapping[str, Rule]
    inputs: Mapping[str, str]
    verdict: TableVerdict
    good: pl.DataFrame
    quarantined: pl.DataFrame
    broken: pl.DataFrame
