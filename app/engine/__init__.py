"""One training process per run, started by name (`python -m app.engine RUN_DIR`) and never imported."""
