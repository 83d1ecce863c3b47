"""The line: what a batch is (board, customer, CA, registration), claims, the last failure, and the ports' tiles."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A batch from before has no board: the line refuses it, and its books stay as they are.
    op.add_column("batches", sa.Column("board", sa.String(64), nullable=False, server_default=""))
    op.add_column("batches", sa.Column("customer", sa.String(128), nullable=False, server_default=""))
    op.add_column("batches", sa.Column("ca_sha256", sa.String(64), nullable=False, server_default=""))
    op.add_column("batches", sa.Column("registration", sa.String(16), nullable=False, server_default=""))
    op.add_column("batches", sa.Column("details", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("identities", sa.Column("serial", sa.String(64)))
    op.add_column("identities", sa.Column("trouble", sa.Text))
    op.add_column("identities", sa.Column("claim", sa.String(128)))
    op.create_index("entries_by_certificate", "entries", ["certificate_id"])
    op.create_table(
        "ports",
        sa.Column("station", sa.String(128), primary_key=True),
        sa.Column("port", sa.String(256), primary_key=True),
        sa.Column("batch", sa.String(128), nullable=False),
        sa.Column("tile", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ports")
    op.drop_index("entries_by_certificate", "entries")
    for column in ("claim", "trouble", "serial"):
        op.drop_column("identities", column)
    for column in ("details", "registration", "ca_sha256", "customer", "board"):
        op.drop_column("batches", column)
