"""What a model card says of the refit of a new champion: what each version learnt, each check, and the outcome."""

from __future__ import annotations

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.refit_policy import RefitEvidence, decide
from include.lifecycle.reporting.pages import Cell, Section, Table


def refit_sections(entry: ledger.Entry | None) -> list[Section]:
    """The sections about a refit, from its entry in the ledger; none where there was no refit."""
    if entry is None:
        return []
    evidence = RefitEvidence.model_validate(entry.evidence)
    took_place = entry.action == "refit"
    outcome = (
        f"Version {evidence.version} took the place of version {evidence.parent} and scores from then on; the "
        "next candidate is compared with the parent, as that has not learnt the holdout."
        if took_place
        else f"Version {evidence.version} was refused, and version {evidence.parent} stays champion."
    )
    windows: list[list[Cell]] = [
        [f"version {evidence.parent}", "judged by the gate", str(evidence.parent_learnt_until)],
        [f"version {evidence.version}", "fitted on the holdout as well", str(evidence.learnt_until)],
    ]
    checks: list[list[Cell]] = [
        [row.name, row.asked, row.measured, row.outcome] for row in decide(evidence).checks
    ]
    text = f"The two are compared on the {evidence.rows:,} rows of the holdout. What is missing or failed refuses."
    return [
        Section("Refit", outcome, table=Table(["version", "what it is", "learnt until"], windows)),
        Section("What the refit was asked", text, table=Table(["check", "asked", "measured", "outcome"], checks)),
    ]
