"""Names that more than one module of the dataset needs: of columns, and what a symbol's looks like."""

SYMBOL_PATTERN = r"^[A-Z0-9][A-Z0-9.\-]{0,14}$"
PRICES = ("open", "high", "low", "close")
