"""Which addresses for notifications were taken from an identity provider, and which one was last."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0040"
branch_labels = None
depends_on = None
lost = "which addresses for notifications were taken from an identity provider"


def upgrade() -> None:
    op.add_column("identities", sa.Column("mail_taken", sa.String(255), nullable=False, server_default=""))
    op.add_column(
        "notification_targets", sa.Column("from_provider", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("notification_targets", "from_provider")
    op.drop_column("identities", "mail_taken")
