"""Text of unknown origin as people see it: on pages, in warnings and in errors."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 80
_MOST_NAMES = 5
# Characters that Python takes for printable, and Unicode says to leave out when showing text.
_IGNORABLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """The text with characters that nobody sees, or that no page or database takes, as escapes."""
    if text.isprintable() and not _IGNORABLE.search(text):
        return text
    return "".join(map(_visible_character, text))


def short(text: str) -> str:
    """The text as `visible` gives it, cut where it is too long for a cell."""
    seen = visible(text[: _LONGEST + 1])
    return seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "…"


def columns_in_words(names: Sequence[str]) -> str:
    """The first few columns by their names, which may be anything, to stand within a sentence."""
    named = ", ".join(short(name) if name.strip() else repr(name) for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f"the column{'' if len(names) == 1 else 's'} {named}{more}"


def _visible_character(character: str) -> str:
    if character.isprintable() and not _IGNORABLE.match(character):
        return character
    return character.encode("unicode_escape").decode()
