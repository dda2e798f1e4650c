"""From which run a request came, and what its own run is called in Prefect; until now people alone made requests."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
lost = "from which runs requests came, and the names and tags that were given to runs"

TABLES = ("scheduled_jobs", "job_results")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("requested_from", sa.Uuid(), nullable=True))
        op.add_column(table, sa.Column("request_depth", sa.Integer(), nullable=False, server_default="0"))
        op.add_column(table, sa.Column("run_name", sa.String(length=255), nullable=False, server_default=""))
        op.add_column(table, sa.Column("run_tags", sa.JSON(), nullable=False, server_default="[]"))
        op.create_index(op.f(f"ix_{table}_requested_from"), table, ["requested_from"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_index(op.f(f"ix_{table}_requested_from"), table)
        for column in ("run_tags", "run_name", "request_depth", "requested_from"):
            op.drop_column(table, column)
