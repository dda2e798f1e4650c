"""The requests for approval, also those that have been decided."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
lost = "the requests for approval that have been decided, and who may view those of others"
TYPES = ("extras.approvalrequest",)
USERS = ("user_id", "owner_id", "decided_by_id")
REFERENCES = {"job_id": ("jobs", "CASCADE"), **dict.fromkeys(USERS, ("users", "SET NULL"))}
INDEXED = ("scheduled_job_id", *REFERENCES, "created", "decided_at")


def upgrade() -> None:
    requests = op.create_table(
        "approval_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scheduled_job_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("task_name", sa.String(511), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.String(150), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.String(150), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("decided_inputs", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("circumstances", sa.JSON(none_as_null=True), nullable=True),
        *(
            sa.ForeignKeyConstraint(
                [name], [f"{table}.id"], name=op.f(f"fk_approval_requests_{name}"), ondelete=when_gone
            )
            for name, (table, when_gone) in REFERENCES.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_requests")),
    )
    for name in INDEXED:
        op.create_index(op.f(f"ix_approval_requests_{name}"), "approval_requests", [name])
    _add_those_that_wait(requests)


def downgrade() -> None:
    op.drop_table("approval_requests")
    _forget_types()


def _add_those_that_wait(requests: sa.Table) -> None:
    scheduled = sa.table(
        "scheduled_jobs",
        *(sa.column(name, sa.Uuid()) for name in ("id", "job_id", "requester_id", "owner_id")),
        *(sa.column(name, sa.DateTime(timezone=True)) for name in ("date_changed", "expires_at")),
        *(sa.column(name) for name in ("name", "approval", "approval_note")),
    )
    jobs = sa.table("jobs", sa.column("id", sa.Uuid()), sa.column("module_name"), sa.column("job_class_name"))
    users = sa.table("users", sa.column("id", sa.Uuid()), sa.column("username"))
    waiting = (
        sa.select(scheduled, jobs.c.module_name, jobs.c.job_class_name, users.c.id.label("user_id"), users.c.username)
        .join(jobs, scheduled.c.job_id == jobs.c.id)
        .outerjoin(users, scheduled.c.requester_id == users.c.id)
        .where(scheduled.c.approval == "pending")
    )
    rows = [
        {
            "id": uuid4(),
            "scheduled_job_id": row["id"],
            "job_id": row["job_id"],
            "name": row["name"],
            "task_name": f"{row['module_name']}.{row['job_class_name']}",
            "user_id": row["user_id"],
            "requested_by": row["username"] or "",
            "owner_id": row["owner_id"],
            "created": row["date_changed"],
            "reason": row["approval_note"],
            "expires_at": row["expires_at"],
            "state": "pending",
            "decided_by": "",
            "comment": "",
        }
        for row in op.get_bind().execute(waiting).mappings()
    ]
    if rows:
        op.get_bind().execute(requests.insert(), rows)


def _forget_types() -> None:
    """Take the types that are new out of permissions: before, one that is not known made a permission grant nothing."""
    permissions = sa.table("permissions", sa.column("id", sa.Uuid()), sa.column("object_types", sa.JSON()))
    connection = op.get_bind()
    for row in connection.execute(sa.select(permissions)).mappings().all():
        kept = [kind for kind in row["object_types"] if kind not in TYPES]
        if kept != row["object_types"]:
            connection.execute(permissions.update().where(permissions.c.id == row["id"]).values(object_types=kept))
