"""Runs the migrations on the connection that the store gives."""

from alembic import context

from api_shim.store.tables import TABLES

metadata = next(iter(TABLES.values())).metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
