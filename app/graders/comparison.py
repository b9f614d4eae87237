"""How sure we are: an interval around one model's share, and a test between two on the same items."""

import math

from app.protocol import Interval

Z_95 = 1.959963984540054


def wilson(right: int, n: int) -> Interval:
    """Wilson's score interval, 95 % (Wilson 1927): honest near 0 and 1, where the usual one is not."""
    if n == 0:
        return Interval(low=0.0, high=1.0)
    share, z2 = right / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if right == 0 else max(0.0, centre - reach)
    high = 1.0 if right == n else min(1.0, centre + reach)
    return Interval(low=low, high=high)


def mcnemar(a: str, b: str) -> float:
    """Two-sided exact p for two outcome strings: do the models differ on the items both were scored on?

    Only items that one got right and the other wrong say anything (McNemar 1947); under no difference
    each falls either way like a fair coin.
    """
    if len(a) != len(b):
        raise ValueError(f"the two evaluations are of different items ({len(a)} and {len(b)})")
    pairs = list(zip(a, b, strict=True))
    won, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return min(1.0, 2 * _ways(won + lost, min(won, lost)) / (1 << (won + lost)))


def _ways(n: int, most: int) -> int:
    """Of 2**n tosses, how many show at most `most` heads."""
    ways = total = 1
    for k in range(most):
        ways = ways * (n - k) // (k + 1)
        total += ways
    return total
