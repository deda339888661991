def work(n):
    """Compute for longer, the larger n is: up to 40 ms or so."""
    total = 0
    for i in range(n * 5_000):
        total += i * i
    return total % 997
