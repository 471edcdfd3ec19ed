"""Drift, and performance once outcomes are known."""
