def steps(n):
    """Count the steps of the Collatz sequence from n down to 1."""
    count = 0
    while n > 1:
        n = 3 * n + 1 if n % 2 else n // 2
        count += 1
    return count


def longest(start):
    """Return the longest sequence that begins from start to start + 2,500."""
    return max((steps(n), n) for n in range(start, start + 2_500))
