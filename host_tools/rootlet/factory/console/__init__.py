"""The page for the floor: what the ledger knows and what the ports do, for whoever stands two metres away."""
