import random


def estimate_pi(seed):
    """Estimate pi from 100,000 random points in a square."""
    points = random.Random(seed)
    inside = 0
    for _ in range(100_000):
        x, y = points.random(), points.random()
        inside += x * x + y * y < 1
    return 4 * inside / 100_000
