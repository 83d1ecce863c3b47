"""``rootlet ca`` and ``rootlet device``."""
