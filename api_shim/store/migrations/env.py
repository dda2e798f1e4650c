"""Runs the migrations on the connection that the store gives, and tells it of each."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationInfo

from api_shim.store.tables import TABLES

metadata = next(iter(TABLES.values())).metadata
attributes = context.config.attributes
connection = attributes["connection"]


def tell(*, step: MigrationInfo, **_: Any) -> None:
    attributes["tell"](step.up_revision_id)


context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    on_version_apply=tell,  # type: ignore[arg-type]  # Alembic's type has no names, by which it gives the arguments
)
with context.begin_transaction():
    context.run_migrations()
