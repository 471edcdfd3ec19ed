"""From a day's features to its published predictions."""
