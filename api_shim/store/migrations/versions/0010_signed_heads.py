"""Who signed the head of the audit; one of before is signed when the store is next opened with a key."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
lost = "the signature of the audit, which `signoff audit accept` then makes anew"


def upgrade() -> None:
    op.add_column("audit_heads", sa.Column("key", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("audit_heads", sa.Column("signature", sa.String(length=128), nullable=False, server_default=""))


def downgrade() -> None:
    for column in ("signature", "key"):
        op.drop_column("audit_heads", column)
