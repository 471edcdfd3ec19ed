"""Forms, and fields that several of them have."""

from __future__ import annotations

from airflow.sdk import Param

from ml_lifecycle.days import Timeline

COMMENT = "comment"
"""Field of an approval's form."""
LONGEST_TEXT = 500
_LARGEST_VERSION = 2**31 - 1
_STORABLE = r"^[^\u0000\ud800-\udfff]*$"
"""No database takes NUL characters and halves of characters as text."""


def day_field(title: str, description: str, timeline: Timeline) -> Param:
    """A day of the timeline that may be left empty."""
    bounds = f"From {timeline.first_day} to yesterday ({timeline.timezone})."
    return Param(None, type=["null", "string"], format="date", title=title, description=f"{description} {bounds}")


def text_field(title: str, description: str, *, shortest: int = 0) -> Param:
    """A text of at most 500 characters that may be left empty."""
    return Param(
        None,
        type=["null", "string"],
        minLength=shortest,
        maxLength=LONGEST_TEXT,
        pattern=_STORABLE,
        title=title,
        description=description,
    )


def version_field(description: str) -> Param:
    """The number of a version that may be left empty."""
    return Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=_LARGEST_VERSION,
        title="Version",
        description=description,
    )


def training_form(timeline: Timeline) -> dict[str, Param]:
    """What a training is asked for."""
    return {
        "day": day_field("As of", "Train on what was known at the end of this day. Empty: yesterday.", timeline),
        "trials": Param(
            10,
            type="integer",
            minimum=2,
            maximum=500,
            title="Tuning budget",
            description="How many sets of hyperparameters are tried, from 2 to 500, over all candidates. A "
            "candidate that is fitted on each segment on its own tries its share on each.",
        ),
        "seed": Param(
            7,
            type="integer",
            minimum=0,
            maximum=2**32 - 1,
            title="Seed",
            description="The same seed and data give the same model. From 0 to 4294967295.",
        ),
        "reason": text_field(
            "Reason",
            "Why this training takes place, in at most 500 characters; it is kept with the model. Empty: how it "
            "was started.",
        ),
        "ask_first": Param(
            False,
            type="boolean",
            title="Ask first",
            description="Whether a person must agree before this version becomes champion, also where the model's "
            "`gate.approval` would not ask.",
        ),
    }


def approval_form() -> dict[str, Param]:
    """What a person may say with an answer."""
    return {
        COMMENT: text_field(
            "Comment", "Why, in at most 500 characters; it is kept in the ledger and on the model card."
        )
    }
