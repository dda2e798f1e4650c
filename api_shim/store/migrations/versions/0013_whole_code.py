"""Digests of all the code of a Job; those of its module alone stay, for approvals that are bound to them.

The next start finds the new ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
lost = "the digests of all code of Jobs: what was approved by them waits for approval again"
not_additive = "A version of before writes no digest of the module, and takes the new digest for another code."


def upgrade() -> None:
    op.execute("ALTER TABLE jobs RENAME COLUMN code_digest TO module_digest")
    op.add_column("jobs", sa.Column("code_digest", sa.String(length=100), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("jobs", "code_digest")
    op.execute("ALTER TABLE jobs RENAME COLUMN module_digest TO code_digest")
