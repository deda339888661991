import time


def fetch(n):
    """Stand for a slow request: wait, and use no CPU."""
    time.sleep(0.25)
    return {"page": n, "status": 200}
