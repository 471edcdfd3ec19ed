"""``python -m include.stack.mlflow_tables``: MLflow's tables, made or migrated from those of an older version.

MLflow's server does so for some versions only, and ends where it meets tables of the others.
"""

import os


def migrate(url: str) -> None:
    """Bring the tables in a database to the version of MLflow that is installed; ``url`` is SQLAlchemy's."""
    from mlflow.db import commands  # seconds to import, and what else imports this may not need it

    # In this process, as the address has the password, and a command line is seen by all.
    commands(["upgrade", url], standalone_mode=False)


if __name__ == "__main__":
    migrate(os.environ["MLFLOW_BACKEND_STORE_URI"])
