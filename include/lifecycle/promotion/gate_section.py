"""What a model card says of the gate: each check as a row, and the segments one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from include.lifecycle.promotion.gate import evaluate_gate
from include.lifecycle.promotion.gate_evidence import GateEvidence, SegmentGain
from include.lifecycle.reporting.pages import Cell, Section, Table

_MOST_SEGMENTS = 20


def gate_sections(evidence: GateEvidence) -> Iterator[Section]:
    """The sections of the gate, from the evidence that the ledger keeps."""
    checks = evaluate_gate(evidence).checks
    rows: list[list[Cell]] = [[row.name, row.asked, row.measured, row.outcome] for row in checks]
    text = (
        "A check that failed, or whose evidence is missing, refuses the candidate, unless it only asks a person."
    )
    yield Section("What the gate asked", text, table=Table(["check", "asked", "measured", "outcome"], rows))
    if evidence.segments:
        yield _segments(evidence)


def _segments(evidence: GateEvidence) -> Section:
    ordered = sorted(evidence.segments, key=_worst_first)
    rows: list[list[Cell]] = [
        [segment.by, segment.name, segment.rows, segment.gain, segment.upper_bound, segment.shortfall]
        for segment in ordered[:_MOST_SEGMENTS]
    ]
    shown = f"The {len(rows)} of {len(ordered)} segments" if len(ordered) > len(rows) else "All segments"
    text = f"{shown} of the holdout, the largest loss against the champion first."
    columns = ["column", "segment", "rows", "gain", "gain at most", "not judged because of"]
    return Section("Beside the champion, by segment", text, table=Table(columns, rows))


def _worst_first(segment: SegmentGain) -> float:
    return math.inf if segment.upper_bound is None else segment.upper_bound
