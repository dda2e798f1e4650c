"""With which worker a run's process ends; of runs that were let go before, that is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_results", sa.Column("lease", sa.String(length=255), nullable=False, server_default=""))
