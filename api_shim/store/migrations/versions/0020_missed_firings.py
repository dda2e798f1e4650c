"""What becomes of the firings that a scheduled job has missed; of what is there, the newest runs, as before."""

from datetime import UTC, datetime

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
    _pass_over_what_waits()
    op.drop_column("scheduled_jobs", "missed")
    op.drop_column("scheduled_jobs", "misfire")


def _pass_over_what_waits() -> None:
    """Revoke the results that wait to be made up for: the earlier version would never begin them, nor end them."""
    results = sa.table(
        "job_results",
        sa.column("status", sa.String),
        sa.column("released", sa.Boolean),
        sa.column("flow_run_id", sa.Uuid),
        sa.column("date_done", sa.DateTime(timezone=True)),
        sa.column("traceback", sa.Text),
    )
    waits = sa.and_(results.c.status == "PENDING", results.c.released, results.c.flow_run_id.is_(None))
    why = "This firing was missed, and is not made up for by the version that is here now."
    op.execute(sa.update(results).where(waits).values(status="REVOKED", date_done=datetime.now(UTC), traceback=why))
