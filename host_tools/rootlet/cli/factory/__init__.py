"""``rootlet factory``."""
