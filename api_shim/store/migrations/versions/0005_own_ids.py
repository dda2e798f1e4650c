"""Job results have ids of their own, with the flow run's beside them; runs that replace others are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
lost = "the ids of job results, which become those of their runs"


def upgrade() -> None:
    op.add_column("job_results", sa.Column("flow_run_id", sa.Uuid(), nullable=True))
    op.add_column("spent", sa.Column("flow_run_id", sa.Uuid(), nullable=True))
    for table in ("job_results", "spent"):
        # Until now the one was the other.
        op.execute(f"UPDATE {table} SET flow_run_id = id")  # noqa: S608 - two names that stand here
    op.create_index(op.f("ix_job_results_flow_run_id"), "job_results", ["flow_run_id"], unique=True)
    op.create_index(op.f("ix_spent_flow_run_id"), "spent", ["flow_run_id"])
    for table in ("scheduled_jobs", "leftovers"):
        op.add_column(table, sa.Column("run_number", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "ix_job_results_unreleased",
        "job_results",
        ["id"],
        sqlite_where=sa.text("released IS 0"),
        postgresql_where=sa.text("released IS false"),
    )


def downgrade() -> None:
    op.drop_index("ix_job_results_unreleased", "job_results")
    for table in ("scheduled_jobs", "leftovers"):
        op.drop_column(table, "run_number")
    op.drop_index(op.f("ix_spent_flow_run_id"), "spent")
    op.drop_index(op.f("ix_job_results_flow_run_id"), "job_results")
    for table in ("job_results", "spent"):
        op.execute(f"UPDATE {table} SET id = flow_run_id WHERE flow_run_id IS NOT NULL")  # noqa: S608 - two names that stand here
        op.drop_column(table, "flow_run_id")
