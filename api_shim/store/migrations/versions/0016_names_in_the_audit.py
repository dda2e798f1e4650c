"""Whether a name stood for another request is found without looking at the whole audit."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
lost = ""


def upgrade() -> None:
    op.create_index(op.f("ix_audit_events_name"), "audit_events", ["name"])


def downgrade() -> None:
    op.drop_index(op.f("ix_audit_events_name"), "audit_events")
