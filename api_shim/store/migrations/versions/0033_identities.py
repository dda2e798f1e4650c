"""Who accounts belong to at an identity provider, what their sessions need, and the codes of command lines."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
lost = "who accounts belong to at an identity provider, and the sessions that were started there"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("provider", sa.String(255), nullable=True))
    op.add_column("sessions", sa.Column("refresh_token", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("renew_by", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("renewing", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "identities",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("mail", sa.String(255), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_identities_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
        sa.UniqueConstraint("user_id", "issuer", name=op.f("uq_identities_user_id_issuer")),
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"])
    op.create_table(
        "sign_in_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.String(64), nullable=False),
        sa.Column("challenge", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_sign_in_codes_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_codes")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_sign_in_codes_code_hash")),
    )
    op.create_index(op.f("ix_sign_in_codes_session_id"), "sign_in_codes", ["session_id"])


def downgrade() -> None:
    op.drop_table("sign_in_codes")
    op.drop_table("identities")
    # A version of before would not renew them, and let people in who are out at the provider.
    op.execute("DELETE FROM sessions WHERE provider IS NOT NULL")
    for column in ("renewing", "renew_by", "refresh_token", "provider"):
        op.drop_column("sessions", column)
