"""How many random cases are tried: all of them in `make test-all`, a quarter of them in `make test`."""

import os

IS_THOROUGH = os.environ.get("TUNING_FORK_TESTS") == "thorough"


def cases(most: int) -> int:
    return most if IS_THOROUGH else max(10, most // 4)
