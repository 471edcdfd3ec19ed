"""What we predict: one folder per model."""
