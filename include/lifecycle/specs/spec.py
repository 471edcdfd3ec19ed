"""What all specs have in common."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Annotated, Any

from croniter import croniter
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


class Spec(BaseModel):
    """A frozen record that rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _is_cron(text: str) -> str:
    if not croniter.is_valid(text):
        raise ValueError(
            f"{text!r} is no cron expression; give minute, hour, day of month, month and day of week, e.g. "
            "'0 4 * * 1'."
        )
    return text


Cron = Annotated[str, AfterValidator(_is_cron)]
"""When something runs."""


def takes(*parameters: str) -> AfterValidator:
    """The check that a callable can be called with so many positional arguments; their names are for the error."""

    def check(function: Callable[..., Any], info: ValidationInfo) -> Callable[..., Any]:
        try:
            found = signature(function)
        except ValueError:
            # Some callables written in C do not say what they take.
            return function
        try:
            found.bind(*parameters)
        except TypeError as error:
            name = getattr(function, "__qualname__", repr(function))
            raise ValueError(
                f"`{info.field_name}` is called with ({', '.join(parameters)}), which {name}{found} does not take "
                f"({error}); change its parameters."
            ) from None
        return function

    return AfterValidator(check)
