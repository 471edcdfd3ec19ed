"""What must not stand on a page that people read: code marks, and names of Python's or a library's."""

from __future__ import annotations

import re

_CODE = re.compile(
    r"`|\bDagRunType\b|\bNone\b|\bNaN\b|\bnan\b|\b\w+\.[A-Z]{3,}\b|\b(?:wasserstein|jensenshannon)\b"
)


def code_in(html: str) -> list[str]:
    """What of a page's text is code, as it stands there."""
    return _CODE.findall(re.sub(r"<[^>]+>", " ", html.split("</head>")[1].replace("<wbr>", "")))
