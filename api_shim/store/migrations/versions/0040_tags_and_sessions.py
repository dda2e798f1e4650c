"""The tags of Jobs, and where each session was used from and with what."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None
lost = "the tags of Jobs until a server starts again, and where sessions were used from"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    for column in ("used_from", "browser"):
        op.add_column("sessions", sa.Column(column, sa.String(length=64), nullable=False, server_default=""))


def downgrade() -> None:
    for column in ("browser", "used_from"):
        op.drop_column("sessions", column)
    op.drop_column("jobs", "tags")
