ROWS = [i / 7 for i in range(25_000)]


def load(n):
    """Return 25,000 numbers, where their sum would do."""
    return ROWS
