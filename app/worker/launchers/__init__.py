"""Where engines run: on this machine for now."""
