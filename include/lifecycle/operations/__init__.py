"""Upkeep of what exists: maintenance, backup, restore, metrics."""
