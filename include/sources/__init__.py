"""Sources that need no code: CSV files and SQL queries, told where they are by a dataset's source settings."""

from include.sources.settings import source_of

__all__ = ["source_of"]
