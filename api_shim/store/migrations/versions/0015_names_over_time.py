"""The names that accounts have, and those that the audit says that they have had.

Names that are the same in their normal form, of accounts that exist, are marked as shared: each account keeps its own,
and signs in with it exactly as it is written. The log names them.
"""

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from alembic import op

from approval_gate.identity import normal_form

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
lost = "the names that accounts had before, which others could then be given"
not_additive = "A version of before records no names: an account that it adds is found by its exact name alone."

logger = logging.getLogger("signoff")

SHARED = (
    "These users have names that differ only in how they are written: %s. Each signs in with the name exactly as it is "
    "written, and none of them can approve what another one requests; rename them."
)

users = sa.table(
    "users", sa.column("id", sa.Uuid()), sa.column("username"), sa.column("created", sa.DateTime(timezone=True))
)
events = sa.table(
    "audit_events",
    sa.column("number"),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("act"),
    sa.column("name"),
    sa.column("data"),
)
ACTS = ("user.added", "user.changed", "user.removed")


@dataclass
class Had:
    """A name that an account has had."""

    account: UUID
    normal: str
    since: datetime
    until: datetime | None = None


def upgrade() -> None:
    names = op.create_table(
        "user_names",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("normal", sa.String(length=150), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_names")),
    )
    op.create_index(op.f("ix_user_names_user_id"), "user_names", ["user_id"])
    op.create_index(op.f("ix_user_names_normal"), "user_names", ["normal"])
    held = sa.text("until IS NULL AND shared IS false")
    op.create_index(
        "ix_user_names_held", "user_names", ["normal"], unique=True, sqlite_where=held, postgresql_where=held
    )
    op.create_index(op.f("ix_scheduled_jobs_approved_by_id"), "scheduled_jobs", ["approved_by_id"])
    _fill(names)


def downgrade() -> None:
    op.drop_index(op.f("ix_scheduled_jobs_approved_by_id"), "scheduled_jobs")
    op.drop_table("user_names")


def _fill(names: sa.Table) -> None:
    connection = op.get_bind()
    query = sa.select(events).where(events.c.act.in_(ACTS)).order_by(events.c.number)
    there = connection.execute(sa.select(users)).all()
    found = list(names_over_time(there, [_read(dict(event)) for event in connection.execute(query).mappings()]))
    standing = Counter(each.normal for each in found if each.until is None)
    rows = [
        {
            "id": uuid4(),
            "user_id": each.account,
            "normal": each.normal,
            "since": each.since,
            "until": each.until,
            "shared": each.until is None and standing[each.normal] > 1,
        }
        for each in found
    ]
    if rows:
        op.bulk_insert(names, rows)
    if alike := sorted(user.username for user in there if standing[normal_form(user.username)] > 1):
        logger.warning(SHARED, ", ".join(alike))


def _read(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event["data"]
    return {**event, "data": json.loads(data) if isinstance(data, str) else data}


def names_over_time(there: Iterable[Any], told: Iterable[Mapping[str, Any]]) -> Iterator[Had]:
    """Yield the names of accounts: all that the audit tells, and those of the accounts that exist."""
    last: dict[UUID, Had] = {}
    ended: defaultdict[UUID, list[Had]] = defaultdict(list)

    def has(account: UUID, name: str, at: datetime) -> None:
        before, normal = last.get(account), normal_form(name)
        if before is None or before.normal != normal:
            ends(account, at)
            last[account] = Had(account, normal, at)

    def ends(account: UUID, at: datetime) -> None:
        if (had := last.pop(account, None)) is not None:
            had.until = at
            ended[account].append(had)

    for event in told:
        account, at = _account(event["data"]), event["at"]
        if account is None:
            continue
        has(account, event["name"], at)
        new = event["data"].get("changes", {}).get("username", {}).get("new")
        if event["act"] == "user.removed" or (event["act"] == "user.changed" and _renames(event["data"])):
            ends(account, at)
        if event["act"] == "user.changed" and new:
            has(account, new, at)
    for user in there:
        has(user.id, user.username, max([user.created, *(had.until for had in ended[user.id] if had.until)]))
    exist = {user.id for user in there}
    # An account that is gone though nothing tells of it has no name any more.
    for account in last.keys() - exist:
        last[account].until = last[account].since
    yield from last.values()
    for several in ended.values():
        yield from several


def _renames(data: Mapping[str, Any]) -> bool:
    """Say whether a change was one of the name; what it became was not always told."""
    return "username" in data.get("fields", ())


def _account(data: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(data["id"])
    except (KeyError, ValueError):
        return None
