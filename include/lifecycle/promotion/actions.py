"""What can happen to the champion of a model: one vocabulary for the gate, the ledger and its table."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["promote", "keep", "baseline"]
"""What the gate decides: the candidate becomes champion, the champion stays, the baseline becomes champion."""

Action = Verdict | Literal["rollback", "fallback"]
"""What the ledger records: a verdict, the return to a former version, or a champion that scoring cannot use."""

VERDICTS: frozenset[Action] = frozenset({"promote", "keep", "baseline"})
CHAMPION_CHANGES: frozenset[Action] = frozenset({"promote", "baseline", "rollback"})
