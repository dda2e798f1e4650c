"""The files that runs have made."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
lost = "the files that runs have made"


def upgrade() -> None:
    op.create_table(
        "result_files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_result_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_result_id"], ["job_results.id"], name=op.f("fk_result_files_job_result_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_files")),
    )
    op.create_index(op.f("ix_result_files_job_result_id"), "result_files", ["job_result_id"])
    op.create_table(
        "result_contents",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["result_files.id"], name=op.f("fk_result_contents_file_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_result_contents")),
    )


def downgrade() -> None:
    op.drop_table("result_contents")
    op.drop_table("result_files")
