"""Accounts of agents, for whom they ask, why something was requested, and which dry runs are safe."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
lost = "which accounts are those of agents, which then have all that they were given, and why something was requested"
REQUESTED = ("scheduled_jobs", "job_results")


def upgrade() -> None:
    op.add_column("users", sa.Column("is_agent", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("users", sa.Column("acts_for_id", sa.Uuid(), nullable=True))
    op.add_column("jobs", sa.Column("dryrun_is_safe", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table in REQUESTED:
        op.add_column(table, sa.Column("agent", sa.JSON(none_as_null=True), nullable=True))
        op.add_column(table, sa.Column("reason", sa.String(500), nullable=False, server_default=""))


def downgrade() -> None:
    for table in REQUESTED:
        op.drop_column(table, "reason")
        op.drop_column(table, "agent")
    op.drop_column("jobs", "dryrun_is_safe")
    op.drop_column("users", "acts_for_id")
    op.drop_column("users", "is_agent")
