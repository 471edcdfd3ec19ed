"""What people see first: is anything wrong, since when, and where every model and dataset stands."""
