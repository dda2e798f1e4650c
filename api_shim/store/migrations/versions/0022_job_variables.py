"""What Prefect's work pool starts the runs of a Job with."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
lost = "what the runs of Jobs are started with, until the next start; approvals of such Jobs lapse"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("job_variables", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("jobs", "job_variables")
