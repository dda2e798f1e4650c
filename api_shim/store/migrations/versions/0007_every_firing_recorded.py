"""Until when every firing of a scheduled job has its record; what was missed before this stays as it is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
lost = "until when the firings of scheduled jobs are recorded"


def upgrade() -> None:
    op.add_column("scheduled_jobs", sa.Column("recorded_until", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE scheduled_jobs SET recorded_until = CURRENT_TIMESTAMP")


def downgrade() -> None:
    op.drop_column("scheduled_jobs", "recorded_until")
