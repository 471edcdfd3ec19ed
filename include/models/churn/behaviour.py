"""What must hold of any churn model, whatever it has learnt."""

from __future__ import annotations

from include.datasets.customers.features import CATEGORICAL, NUMERIC
from include.lifecycle.specs import BehaviourTest, Invariant, Monotonic, Profile
from include.models.churn.decisions import USUAL_RISK
from include.toolkit.behaviour import having, sound_on_any_rows, usual

_LOYAL = usual(
    contract="Two year",
    tenure=60.0,
    payment_method="Credit card (automatic)",
    internet_service="DSL",
    monthly_charges=60.0,
    total_charges=3600.0,
    data_trend=1.0,
    call_trend=1.0,
    late_share_90d=0.0,
    overdue_invoices=0.0,
    overdue_amount=0.0,
)
_LEAVING = usual(
    contract="Month-to-month",
    tenure=2.0,
    payment_method="Electronic check",
    internet_service="Fiber optic",
    monthly_charges=95.0,
    total_charges=190.0,
    data_trend=0.4,
    call_trend=0.6,
    late_share_90d=1.0,
    overdue_invoices=1.0,
    overdue_amount=95.0,
)

BEHAVIOUR: tuple[BehaviourTest, ...] = (
    Monotonic(name="more invoices paid late", steps={"late_share_90d": (0.0, 0.25, 0.5, 0.75, 1.0)}),
    # What is overdue counts as late as well, so that the share goes up with it.
    Monotonic(
        name="more invoices overdue",
        steps={
            "overdue_invoices": (0.0, 1.0, 2.0, 3.0),
            "overdue_amount": (0.0, 70.0, 140.0, 210.0),
            "late_share_90d": (0.0, 0.33, 0.67, 1.0),
        },
    ),
    Invariant(name="gender", before=having(gender="Female"), after=having(gender="Male"), tolerance=0.1),
    Profile(name="five years with a contract for two, pays on time", rows=_LOYAL, high=2 * USUAL_RISK),
    Profile(name="two months, no contract, pays late, uses less", rows=_LEAVING, low=2 * USUAL_RISK),
    *sound_on_any_rows(NUMERIC, CATEGORICAL),
)
