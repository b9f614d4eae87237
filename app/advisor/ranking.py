"""Weights from nothing but an order of importance."""


def by_rank(count: int) -> tuple[float, ...]:
    """Rank-order-centroid weights, first rank first: the mean of all weightings that keep the order.

    w_k = (1/n) * sum of 1/j for j from k to n; they add up to 1.
    """
    return tuple(sum(1 / j for j in range(k, count + 1)) / count for k in range(1, count + 1))
