"""Kinds of task, their metrics and plots, tuning, intervals and model files."""
