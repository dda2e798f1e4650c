"""When what people are told by failed last, and until when it is left alone."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0037"
branch_labels = None
depends_on = None
lost = "until when targets of notifications that fail are left alone"
TIMES = ("failed_at", "retry_at")


def upgrade() -> None:
    for name in TIMES:
        op.add_column("notification_targets", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in reversed(TIMES):
        op.drop_column("notification_targets", name)
