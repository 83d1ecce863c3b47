"""The migrations of the ledger's tables, one file each; alembic runs them when a ledger is opened."""
