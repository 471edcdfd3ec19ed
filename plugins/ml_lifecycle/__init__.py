"""What Airflow itself loads: hooks, operators, buttons, pages and warm workers."""
