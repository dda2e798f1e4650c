"""Who switched the approval of a Job off, and what was requested of it meanwhile.

Where the code asks for approval and the setting does not, somebody has switched it off; who and when is not known.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
lost = "who switched the approval of Jobs off"

jobs = sa.table(
    "jobs",
    sa.column("id", sa.Uuid()),
    sa.column("approval_required", sa.Boolean()),
    sa.column("declared", sa.JSON()),
    sa.column("approval_off", sa.JSON()),
)


def upgrade() -> None:
    for table in ("jobs", "scheduled_jobs", "job_results"):
        op.add_column(table, sa.Column("approval_off", sa.JSON(none_as_null=True), nullable=True))
    connection = op.get_bind()
    for job in connection.execute(sa.select(jobs).where(jobs.c.approval_required.is_(False))).all():
        if job.declared.get("approval_required"):
            connection.execute(jobs.update().where(jobs.c.id == job.id).values(approval_off={"by": "", "at": None}))


def downgrade() -> None:
    for table in ("jobs", "scheduled_jobs", "job_results"):
        op.drop_column(table, "approval_off")
