"""Whether a request was edited after it was made or last decided; of those that are open, the audit tells.

What waits is shown anew in Prefect: its version includes whom it runs as from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
lost = "which requests were edited, so that they could be approved unseen"

EDITED = """
UPDATE scheduled_jobs SET edited = true WHERE EXISTS (
    SELECT 1 FROM audit_events
    WHERE audit_events.scheduled_job_id = scheduled_jobs.id
    AND audit_events.act IN ('schedule.changed', 'schedule.assumed', 'schedule.transferred')
    AND audit_events.number > COALESCE((
        SELECT MAX(decisions.number) FROM audit_events AS decisions
        WHERE decisions.scheduled_job_id = scheduled_jobs.id AND decisions.act = 'approval.approved'
    ), 0)
)
"""


def upgrade() -> None:
    op.add_column("scheduled_jobs", sa.Column("edited", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(EDITED)
    op.execute("UPDATE scheduled_jobs SET version = version + 1 WHERE approval = 'pending'")


def downgrade() -> None:
    op.drop_column("scheduled_jobs", "edited")
