import hashlib


def derive_key(password):
    """Derive a key from a password, slowly on purpose."""
    key = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 450_000)
    return key.hex()[:16]
