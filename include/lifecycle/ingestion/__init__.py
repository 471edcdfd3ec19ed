"""From a source to clean rows, quarantine and features."""
