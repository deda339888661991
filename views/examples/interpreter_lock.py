def work(n):
    """Compute in pure Python, which holds the interpreter lock."""
    total = 0
    for i in range(150_000):
        total += i * n
    return total
