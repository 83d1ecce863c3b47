# How long to wait before the next attempt: full jitter. Pure; the caller supplies the randomness.
BASE = 1000  # milliseconds
CAP = 60000
LEAST = 1000  # never sooner than this (AWS IoT Device Advisor)


def delay(failures, random32):
    """Milliseconds to wait after `failures` failures in a row (1 is the first); random32 is uniform in 0..2**32-1."""
    ceiling = min(CAP, BASE << min(failures, 16))
    return LEAST + (ceiling - LEAST) * random32 // 0xFFFFFFFF
