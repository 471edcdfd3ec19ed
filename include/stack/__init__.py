"""The local stack: PostgreSQL, an S3 server, MLflow and Airflow under one process supervisor."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # whoever runs it with another Python gets a sentence
    sys.exit(f"Python {sys.version.split()[0]} is too old: use `make run`, which brings Python 3.11.")
