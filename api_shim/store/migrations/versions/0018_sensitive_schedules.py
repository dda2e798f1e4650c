"""Whether the inputs of a scheduled job are kept encrypted; the start of a server encrypts those that are to be."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
lost = "the inputs of scheduled jobs that are encrypted, which earlier versions cannot read"


def upgrade() -> None:
    op.add_column("scheduled_jobs", sa.Column("sensitive", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("scheduled_jobs", "sensitive")
