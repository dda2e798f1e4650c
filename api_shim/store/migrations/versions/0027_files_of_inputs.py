"""The files that runs are given."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
lost = "the files that runs are given; runs that need one fail"


def upgrade() -> None:
    op.create_table(
        "input_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_input_files")),
    )
    op.create_table(
        "input_file_uses",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("holder_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["input_files.id"], name=op.f("fk_input_file_uses_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", "holder_id", name=op.f("pk_input_file_uses")),
    )
    op.create_index(op.f("ix_input_file_uses_holder_id"), "input_file_uses", ["holder_id"])


def downgrade() -> None:
    op.drop_table("input_file_uses")
    op.drop_table("input_files")
