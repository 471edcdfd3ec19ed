"""From features and labels to a staged candidate."""
