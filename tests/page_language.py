"""What must not be on a page that people read: code marks, names of Python's, promises that it does not keep."""

from __future__ import annotations

import re

_CODE = re.compile(
    r"`|\bDagRunType\b|\bNone\b|\bNaN\b|\bnan\b|\b\w+\.[A-Z]{3,}\b|\b(?:wasserstein|jensenshannon)\b"
)


def code_in(html: str) -> list[str]:
    """What of a page's text is code, as it stands there."""
    return _CODE.findall(re.sub(r"<[^>]+>", " ", html.split("</head>")[1].replace("<wbr>", "")))


_PROMISES = {
    "features that moved are shown below": r"<figure>.*<figure>",
    "rows below show": "rows to look at",
    "in quarantine below": "rows to look at",
    "those that drifted come first": r"column=\"drifted\"><span>yes",
}
"""What sentences promise, and what must then follow; a promise that is not listed here is one that is not kept."""
_POINTER = re.compile(r"[^.>]*(?:\bbelow\b|\bcome first\b)[^.<]*")
# Lies below a line, on a picture.
_NO_POINTER = "a strategy below it"


def broken_promises(html: str) -> list[str]:
    """The sentences of a page that point at something which does not follow them."""
    text = re.sub(r"</?wbr>", "", html.split("</head>")[1])
    return [
        found[0]
        for found in _POINTER.finditer(text)
        if _NO_POINTER not in found[0].lower() and not _is_kept(found[0].lower(), text[found.end() :])
    ]


def _is_kept(sentence: str, rest: str) -> bool:
    wanted = [thing for promise, thing in _PROMISES.items() if promise in sentence]
    return bool(wanted) and all(re.search(thing, rest, re.DOTALL) for thing in wanted)


def split_cells(html: str) -> list[str]:
    """The table cells that hold more than one element or loose text: a phone shows them torn apart."""
    return [cell for cell in re.findall(r"<td[^>]*>(.*?)</td>", html) if not _is_one_span(cell)]


def _is_one_span(cell: str) -> bool:
    if not cell:
        return True
    depth = 0
    for tag in re.finditer(r"<(/?)span[^>]*>", cell):
        depth += -1 if tag[1] else 1
        if not depth:
            return cell.startswith("<span>") and tag.end() == len(cell)
    return False


def loose_percentages(html: str) -> list[str]:
    """The percentages of a page, in its text or its pictures, that are not written as 5 %, unbreakable."""
    return re.findall(r"[\d.]+ ?%", re.sub(r"<[^>]+>", " ", html.split("</head>")[1]))
