"""What a model says of the reasons that its prediction files give to whoever acts on a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from include.lifecycle.specs.spec import Spec


class ReasonsSpec(Spec):
    """For which rows the columns `reason_1` to `reason_3` say what brought them about, and in which words."""

    column: str = Field(description="The column of `decide` that says whether a person acts on a row.")
    directions: Mapping[bool | str, Literal[1, -1]] = Field(
        min_length=1,
        description=(
            "Its values on which a person acts: 1 where a high score is the reason for it, -1 where a low one. "
            "Rows with any other value have no reasons."
        ),
    )
    words: Mapping[str, str] = Field(
        min_length=1,
        description=(
            "By feature, the sentence that names it as a reason, with `{value}`, the row's, and `{usual}`, that "
            "of the training rows (a median, or the most frequent text), e.g. `Customer for {value:.0f} months`. "
            "Features without a sentence are never named."
        ),
    )
    otherwise: str = Field(
        description="What `reason_1` says where no feature with a sentence is a reason on its own."
    )

    def faults(self, numeric: Iterable[str], categorical: Iterable[str]) -> list[str]:
        """What of it does not fit a model's features, in sentences."""
        samples: dict[str, float | str] = {**dict.fromkeys(numeric, 1.0), **dict.fromkeys(categorical, "text")}
        unknown = sorted(set(self.words) - set(samples))
        sentences = [f"`reasons.words` names {unknown}, which are no features; correct them."] if unknown else []
        for name, sentence in self.words.items():
            sample = samples.get(name, "")
            try:
                sentence.format(value=sample, usual=sample)
            except (LookupError, ValueError) as error:
                sentences.append(
                    f"`reasons.words` has {sentence!r} for {name!r}, which cannot be filled in ({error}); use "
                    "{value} and {usual}, with a number's format, such as {value:.0f}, for numeric features only."
                )
        return sentences
