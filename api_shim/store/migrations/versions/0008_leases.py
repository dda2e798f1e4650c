"""With which worker a run's process ends; of runs that were let go before, that is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
lost = "with which workers runs end"


def upgrade() -> None:
    op.add_column("job_results", sa.Column("lease", sa.String(length=255), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("job_results", "lease")
