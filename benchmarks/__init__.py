"""What it costs, side by side with the naive way, measured in the same run."""
