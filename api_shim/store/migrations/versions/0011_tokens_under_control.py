"""What a token is for, when and from where it was last used, and with which it was made; of older ones unknown."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
lost = "what tokens are for, and when and from where they were used"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("description", sa.String(length=200), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("last_used", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tokens", sa.Column("last_used_from", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("tokens", sa.Column("made_with_id", sa.Uuid(), nullable=True))
    op.create_index(op.f("ix_tokens_made_with_id"), "tokens", ["made_with_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_tokens_made_with_id"), "tokens")
    for column in ("made_with_id", "last_used_from", "last_used", "description"):
        op.drop_column("tokens", column)
