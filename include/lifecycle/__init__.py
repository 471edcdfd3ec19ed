"""The engine: what happens to data and models, named after neither. Imports no Airflow."""
