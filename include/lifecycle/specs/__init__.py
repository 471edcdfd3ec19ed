"""What a dataset and a model must say of themselves.

Specs are frozen, reject unknown fields and hold data and plain callables. DAG files import them at every parse, so
the callables import their heavy libraries themselves.
"""

from __future__ import annotations

from include.lifecycle.specs.behaviour import AnyOrder, BehaviourTest, Extreme, Invariant, Monotonic, Profile
from include.lifecycle.specs.datasets import RESERVED_COLUMNS, DatasetSpec, Extracted, Source, TableSpec
from include.lifecycle.specs.gate import Approval, GateLimits, GateSegments, GateSpec
from include.lifecycle.specs.label import LabelSpec
from include.lifecycle.specs.models import (
    Candidate,
    DriftPolicy,
    IntervalPolicy,
    ModelSpec,
    RollbackPolicy,
    ScheduleSpec,
    SegmentsSpec,
    SplitSpec,
)
from include.lifecycle.specs.reasons import ReasonsSpec
from include.lifecycle.specs.refit import RefitSpec
from include.lifecycle.specs.retraining import RetrainingSpec
from include.lifecycle.specs.spec import Spec

__all__ = [
    "RESERVED_COLUMNS",
    "AnyOrder",
    "Approval",
    "BehaviourTest",
    "Candidate",
    "DatasetSpec",
    "DriftPolicy",
    "Extracted",
    "Extreme",
    "GateLimits",
    "GateSegments",
    "GateSpec",
    "IntervalPolicy",
    "Invariant",
    "LabelSpec",
    "ModelSpec",
    "Monotonic",
    "Profile",
    "ReasonsSpec",
    "RefitSpec",
    "RetrainingSpec",
    "RollbackPolicy",
    "ScheduleSpec",
    "SegmentsSpec",
    "Source",
    "Spec",
    "SplitSpec",
    "TableSpec",
]
