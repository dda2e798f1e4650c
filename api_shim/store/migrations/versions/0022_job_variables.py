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
    # The version before does not know this part of what was approved, so it would let runs go without it. It takes an
    # approval of nothing for one of something else.
    op.execute(
        "UPDATE scheduled_jobs SET approved = NULL"
        " WHERE job_id IN (SELECT id FROM jobs WHERE CAST(job_variables AS TEXT) <> '{}')"
    )
    op.drop_column("jobs", "job_variables")
