"""Where code of strangers runs: `monty`, a small Python of its own, and `cage`, all of Python locked in."""
