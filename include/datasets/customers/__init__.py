"""The customers of a telecom company: who they are, what they use, how they pay, and who leaves."""

from __future__ import annotations

from include.datasets.customers.features import INVOICE_DAYS, USAGE_DAYS, make_features
from include.datasets.customers.sources import make_source
from include.datasets.customers.tables import TABLES
from include.lifecycle.specs import DatasetSpec

CUSTOMERS = DatasetSpec(
    name="customers",
    title="Customers",
    description="Who the customers of a telecom company are, what they use, how they pay, and who leaves.",
    key=("customer_id",),
    timezone="UTC",
    schedule="30 3 * * *",
    tables=TABLES,
    make_source=make_source,
    features=make_features,
    history_days={"customers": 0, "usage_daily": USAGE_DAYS - 1, "invoices": INVOICE_DAYS - 1, "churns": 0},
)
