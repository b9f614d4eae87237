"""The worker service: hosts engines, and owns the runs, datasets and models on disk."""
