"""What becomes of the firings that a scheduled job has missed; of what is there, the newest runs, as before."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
lost = "what becomes of missed firings where the newest was not to run: it runs then, without being asked about"


def upgrade() -> None:
    op.add_column("scheduled_jobs", sa.Column("misfire", sa.String(length=32), nullable=False, server_default="last"))
    op.add_column("scheduled_jobs", sa.Column("missed", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("scheduled_jobs", "missed")
    op.drop_column("scheduled_jobs", "misfire")
