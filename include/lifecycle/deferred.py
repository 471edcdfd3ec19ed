"""Callables that are named, so that their module is imported when they are first called."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deferred:
    """A callable by its name: `package.module:function`.

    DAG files import the specs at every parse, and some of what the specs name takes seconds to import.
    """

    name: str

    def __post_init__(self) -> None:
        """Refuse what is no such name; whether there is something of that name shows when it is resolved."""
        module, colon, function = self.name.partition(":")
        if not (module and colon and function):
            raise ValueError(f"{self.name!r} names no callable; write it as 'package.module:function'.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what is named."""
        return self.resolve()(*args, **kwargs)

    def resolve(self) -> Any:
        """Import what is named.

        Raises
        ------
        ImportError, AttributeError
            If there is nothing of that name.
        """
        return pkgutil.resolve_name(self.name)
