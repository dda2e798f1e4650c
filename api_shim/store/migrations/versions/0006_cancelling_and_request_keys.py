"""Who had a run cancelled, and the idempotency keys of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
lost = "who cancelled runs, and which requests had idempotency keys"


def upgrade() -> None:
    op.add_column("job_results", sa.Column("cancelled_by", sa.String(length=150), nullable=False, server_default=""))
    op.create_table(
        "request_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scheduled_job_id", sa.Uuid(), nullable=True),
        sa.Column("job_result_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_request_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_request_keys")),
    )
    op.create_index(op.f("ix_request_keys_created"), "request_keys", ["created"])


def downgrade() -> None:
    op.drop_table("request_keys")
    op.drop_column("job_results", "cancelled_by")
