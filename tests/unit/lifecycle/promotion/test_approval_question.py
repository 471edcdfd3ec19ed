"""The question that a person is asked before a version becomes champion."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from include.lifecycle.promotion import ledger
from include.lifecycle.promotion.approval_question import Question, ask_about
from include.models.churn import CHURN
from tests.gate_evidence import NO_CHAMPION, gate_evidence, leak, segment

LINKS = {"Model card of version 8": "http://airflow/card", "Version 8 in MLflow": "http://mlflow/8"}


def question(**evidence: Any) -> Question:
    """About version 8, which the gate compared with version 7 unless the evidence says otherwise."""
    found = gate_evidence(**{"limits": {"approval": "always"}, **evidence})
    before = found.champion_version
    entry = ledger.Entry(
        "churn",
        "propose",
        8,
        before,
        before,
        date(2026, 3, 1),
        "gate",
        "Why.",
        found.model_dump(mode="json"),
        "one",
    )
    return ask_about(CHURN, entry, LINKS)


@pytest.mark.parametrize(
    ("evidence", "subject", "otherwise"),
    [
        ({}, "Customer churn: may version 8 replace version 7?", "version 7 stays."),
        (NO_CHAMPION, "Customer churn: may version 8 be the first champion?", "there is no champion."),
    ],
)
def test_the_question_names_the_versions_and_what_each_answer_does(
    evidence: dict[str, Any], subject: str, otherwise: str
) -> None:
    asked = question(**evidence)

    assert asked.subject == subject
    assert asked.body.endswith(
        "**Approve** makes version 8 the champion: it scores from then on. **Reject**, or no answer within 72 "
        f"hours, refuses it for good: {otherwise}"
    )


def test_it_says_first_why_a_person_is_asked() -> None:
    asked = question(leak=leak(0.95), limits={})

    assert asked.body.startswith(
        "**Why you are asked:** ROC AUC: the candidate's 0.95 is above 0.9, too good to be"
    )
    assert "A person must" not in asked.body


def test_each_check_of_the_gate_is_a_row_of_the_table() -> None:
    lines = question().body.splitlines()

    table = [line for line in lines if line.startswith("|")]
    assert table[:2] == [
        "| check | asked | measured | outcome |",
        "| --- | --- | --- | --- |",
    ]
    names = [line.split(" | ")[0].removeprefix("| ") for line in table[2:]]
    assert "Gain over the champion" in names
    assert "Leak alarm" in names
    assert [line.split(" | ")[-1] for line in table[2:]].count("asks a person |") == 1
    assert {line.count(" | ") for line in table} == {3}


def test_what_a_name_contains_has_no_meaning_in_the_table() -> None:
    spoilt = segment("a|b `c` *d* <e> [f](g)\nh")

    [row] = [line for line in question(segments=(spoilt, segment())).body.splitlines() if "worst" in line]

    assert "a\\|b \\`c\\` \\*d\\* \\<e\\> \\[f\\](g) h" in row


def test_links_lead_to_the_card_first() -> None:
    assert (
        "[Model card of version 8](http://airflow/card) · [Version 8 in MLflow](http://mlflow/8)"
        in question().body
    )
