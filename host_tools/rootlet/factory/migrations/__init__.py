"""How the ledger's tables came to be, one file a change; alembic runs them when a ledger is opened."""
