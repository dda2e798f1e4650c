"""When a process was last heard of that makes Prefect follow."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
lost = ""


def upgrade() -> None:
    op.add_column("running_servers", sa.Column("followed", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("running_servers", "followed")
