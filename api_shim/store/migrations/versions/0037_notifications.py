"""What people want to be told, where, and what is to be told them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
lost = "where people are told of requests and runs, and what they were to be told"
TABLES = (
    "notification_marks",
    "notifications",
    "notification_events",
    "notification_targets",
    "notification_choices",
)


def upgrade() -> None:
    _create("notification_choices", ["user_id"], *_user_and("topics", "frequency", "hour"))
    _create(
        "notification_targets",
        ["id"],
        sa.Column("id", sa.Uuid(), nullable=False),
        *_user_and("way", "label", "address", "created", "confirmed", "wrong_codes"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        *_columns("failure", "switched_off"),
    )
    _create(
        "notification_events",
        ["id"],
        sa.Column("id", sa.Uuid(), nullable=False),
        *_columns("topic", "at", "subject_id"),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        *_columns("actor", "what"),
    )
    _create(
        "notifications",
        ["id"],
        sa.Column("id", sa.Uuid(), nullable=False),
        *_user_and("target_id", "event_id", "topic", "at", "subject_id", "actor", "what", "due_at", "attempts"),
        sa.UniqueConstraint("target_id", "event_id", name=op.f("uq_notifications_target_id_event_id")),
    )
    _create("notification_marks", ["request_id", "topic"], *_columns("request_id", "topic"))
    for table, name in (("notification_targets", "user_id"), ("notifications", "user_id"), ("notifications", "due_at")):
        op.create_index(op.f(f"ix_{table}_{name}"), table, [name])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(("user_id", "target_id", "event_id", "subject_id", "request_id"), sa.Uuid()),
    **dict.fromkeys(("created", "at", "due_at"), sa.DateTime(timezone=True)),
    **dict.fromkeys(("hour", "wrong_codes", "attempts"), sa.Integer()),
    **dict.fromkeys(("confirmed", "switched_off"), sa.Boolean()),
    **dict.fromkeys(("address", "failure"), sa.Text()),
    **dict.fromkeys(("topic", "frequency", "way", "what"), sa.String(32)),
    "topics": sa.JSON(none_as_null=True),
    "label": sa.String(255),
    "actor": sa.String(150),
}
REFERENCES = {"user_id": "users", "target_id": "notification_targets", "request_id": "approval_requests"}


def _columns(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, KINDS[name], nullable=False) for name in names]


def _user_and(*names: str) -> list[sa.Column[Any]]:
    return _columns("user_id", *names)


def _create(table: str, key: list[str], *parts: sa.schema.SchemaItem) -> None:
    names = [part.name for part in parts if isinstance(part, sa.Column)]
    op.create_table(
        table,
        *parts,
        *(
            sa.ForeignKeyConstraint(
                [name], [f"{REFERENCES[name]}.id"], name=op.f(f"fk_{table}_{name}"), ondelete="CASCADE"
            )
            for name in names
            if name in REFERENCES
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )
