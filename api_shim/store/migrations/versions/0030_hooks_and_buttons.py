"""Which Jobs are started by buttons."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0028"
branch_labels = None
depends_on = None
lost = ""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("is_job_button_receiver", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("jobs", "is_job_button_receiver")
