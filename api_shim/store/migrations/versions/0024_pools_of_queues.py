"""The work pool of each job queue."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
lost = "which work pools job queues belong to; all belong to that of the server again"


def upgrade() -> None:
    op.add_column("job_queues", sa.Column("pool", sa.String(255), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("job_queues", "pool")
