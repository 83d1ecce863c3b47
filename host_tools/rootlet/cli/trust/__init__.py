"""``rootlet roots`` and ``rootlet chain``."""
