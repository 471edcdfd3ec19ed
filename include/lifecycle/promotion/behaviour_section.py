"""What of a model card says how the candidate did in the behaviour tests."""

from __future__ import annotations

from include.lifecycle.reporting.pages import Cell, Section, Table
from include.lifecycle.training.record import TrainingRecord


def behaviour_section(training: TrainingRecord) -> list[Section]:
    """Each behaviour test with what was asked and measured; nothing where none was run."""
    results = training.behaviour_tests
    if not results:
        return []
    passed = sum(result.passed for result in results)
    rows: list[list[Cell]] = [
        [
            result.name,
            "passed" if result.passed else "failed",
            result.asked,
            f"{result.measured} {result.example}".strip(),
        ]
        for result in results
    ]
    text = f"What must hold of this model whatever it has learnt: {passed} of {len(results)} tests passed."
    table = Table(["test", "result", "what was asked", "what was measured"], rows)
    return [Section("Behaviour tests", text, table=table)]
