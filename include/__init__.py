"""Everything that decides: plain Python, without Airflow."""
