"""``rootlet cloud``, and ``rootlet device explain``."""
