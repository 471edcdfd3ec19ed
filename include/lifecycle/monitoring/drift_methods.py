"""What people call the metrics of distance between two samples."""

from __future__ import annotations

_NAMES = {
    "wasserstein": "Wasserstein",
    "jensenshannon": "Jensen-Shannon",
    "psi": "PSI",
    "ks": "Kolmogorov-Smirnov",
}


def method_name(method: str) -> str:
    """The proper name of a method of Evidently's."""
    return _NAMES.get(method, method.replace("_", " ").capitalize())
