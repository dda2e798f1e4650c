"""Which runs their own code has suspended."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
lost = "which runs their own code has suspended; they cannot be resumed any more"


def upgrade() -> None:
    op.add_column("job_results", sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("job_results", "suspended")
