"""The page for the factory floor: the ledger's identities and the ports' progress, legible from two metres."""
