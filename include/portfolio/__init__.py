"""Portfolios of the symbols whose returns and volatilities are predicted."""
