"""Alembic's entry point. It runs in the transaction that opens the ledger, so that two stations never migrate at once."""

from alembic import context

from rootlet.factory.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True)
context.run_migrations()
