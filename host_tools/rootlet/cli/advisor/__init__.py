"""``rootlet advisor``."""
