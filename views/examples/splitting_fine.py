def steps(n):
    """Count the steps of the Collatz sequence from n down to 1."""
    count = 0
    while n > 1:
        n = 3 * n + 1 if n % 2 else n // 2
        count += 1
    return count
