def work(n):
    """Compute for about 10 ms, but for more than a second if n is 30."""
    total = 0
    for i in range(12_000_000 if n == 30 else 100_000):
        total += i * i
    return total % 997
