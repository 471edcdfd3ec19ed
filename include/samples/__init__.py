"""A deterministic telecom company that fills the operational tables with customers, usage and invoices."""
