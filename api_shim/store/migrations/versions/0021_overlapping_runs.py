"""Whether runs of a Job may overlap, and how a run waits for its turn; as before, all may."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
lost = "what Jobs say of runs that overlap, and the order of the runs that wait for their turn"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("overlap", sa.String(length=32), nullable=False, server_default="allow"))
    op.add_column("job_results", sa.Column("waits_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job_results", sa.Column("asks_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job_results", sa.Column("dry_run", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("job_results", "dry_run")
    op.drop_column("job_results", "asks_at")
    op.drop_column("job_results", "waits_since")
    op.drop_column("jobs", "overlap")
