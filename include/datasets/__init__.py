"""What is true: one folder per dataset."""
