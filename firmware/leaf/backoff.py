# How long to wait before the next attempt: full jitter. Pure; the caller supplies the randomness.
_BASE = const(1000)  # milliseconds
_CAP = const(60000)
_LEAST = const(1000)  # never sooner than this (AWS IoT Device Advisor)


def delay(failures, random32):
    """Milliseconds to wait after `failures` failures in a row (1 is the first); random32 is uniform in 0..2**32-1."""
    ceiling = min(_CAP, _BASE << min(failures, 16))
    return _LEAST + (ceiling - _LEAST) * random32 // 0xFFFFFFFF
