"""Pages for people, what lies around them, and notifications."""
