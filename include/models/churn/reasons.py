"""Why a customer is called: what a retention agent reads beside it.

What the company cannot talk about with a customer, such as age or gender, has no words, and is never a reason.
"""

from __future__ import annotations

from include.lifecycle.specs import ReasonsSpec

REASONS = ReasonsSpec(
    column="will_churn",
    directions={True: 1},
    words={
        "contract": "Contract: {value}",
        "tenure": "Customer for {value:.0f} months (usual: {usual:.0f})",
        "monthly_charges": "Pays {value:.2f} USD a month (usual: {usual:.2f})",
        "data_trend": "Data use of the last 7 days: {value:.0%} of the 3 weeks before (usual: {usual:.0%})",
        "call_trend": "Calls of the last 7 days: {value:.0%} of the 3 weeks before (usual: {usual:.0%})",
        "data_mb_28d": "Uses {value:.0f} MB of data a day (usual: {usual:.0f})",
        "call_minutes_28d": "Calls {value:.0f} minutes a day (usual: {usual:.0f})",
        "late_share_90d": "Paid {value:.0%} of the last 90 days' invoices late (usual: {usual:.0%})",
        "overdue_invoices": "Invoices overdue: {value:.0f} (usual: {usual:.0f})",
        "overdue_amount": "Owes {value:.2f} USD that is overdue (usual: {usual:.2f})",
        "internet_service": "Internet service: {value}",
        "online_security": "Online security: {value}",
        "online_backup": "Online backup: {value}",
        "device_protection": "Device protection: {value}",
        "tech_support": "Technical support: {value}",
        "streaming_tv": "Streaming of TV: {value}",
        "streaming_movies": "Streaming of films: {value}",
        "multiple_lines": "Several lines: {value}",
        "paperless_billing": "Paperless billing: {value}",
        "payment_method": "Pays by: {value}",
    },
    otherwise="Several things together; none stands out on its own",
)
