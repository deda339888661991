def is_prime(n):
    if n < 2:
        return False
    d = 2
    while d * d <= n:
        if n % d == 0:
            return False
        d += 1
    return True


def count_primes(start):
    """Count the primes from start to start + 2,500."""
    return sum(is_prime(n) for n in range(start, start + 2_500))
