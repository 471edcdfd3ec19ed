"""Half a year of the sample company in minutes: with retraining that the reports ask for, and without."""
