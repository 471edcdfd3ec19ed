"""The labels of mapped tasks in the UI."""

from __future__ import annotations

from ml_lifecycle.runs import batch_label


def test_batches_sorted_by_their_labels_are_in_order() -> None:
    labels = [batch_label(number, 12, [f"S{99 - number}", "T"]) for number in range(12)]

    assert labels == sorted(labels)
    assert labels[2] == "batch 03 of 12: S97 to T (2)"
    assert batch_label(0, 1, ["AAPL"]) == "batch 1 of 1: AAPL"
