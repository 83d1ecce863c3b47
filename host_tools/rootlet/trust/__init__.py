"""Trust anchors and certificate chains: which root a device embeds, and whether a chain reaches it."""
